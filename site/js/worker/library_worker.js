/** The library's worker: the page's own runtime, with the one engine that the library brings along. */

import { VitError } from '../common/errors.js';
import { startWorkersOnPage } from '../common/hosted_workers.js';
import { serve } from '../common/rpc.js';
import { engine } from '../engines/vit/vit.js';
import { Runtime } from './runtime.js';

startWorkersOnPage();
const runtime = new Runtime(async (name) => {
  if (name === engine.name) return engine;
  throw new VitError('bad_request', `The library has no engine “${name}”; it has: ${engine.name}.`);
});

/** @type {import('../common/rpc.js').Handlers<import('../common/protocol.js').LibraryRequests>} */
const handlers = {
  hello: (folder) => {
    runtime.wasmPath = folder;
  },
  load: (request, context) => runtime.load(request, context),
  classify: ({ image, topk }, { signal }) => runtime.classify(image, { topk, signal }),
};

serve(globalThis, handlers, { exclusive: ['load', 'classify'] });
