/** The page's worker: serves the client's requests, the ones that use the model one after the other. */

import { startWorkersOnPage } from '../common/hosted_workers.js';
import { serve } from '../common/rpc.js';
import { openEngine } from '../engines/index.js';
import { describeDevice } from './device.js';
import { requireUnaltered } from './image/readback.js';
import { Runtime } from './runtime.js';

startWorkersOnPage();
const runtime = new Runtime(openEngine);

/** @type {import('../common/rpc.js').Handlers<import('../common/protocol.js').Requests>} */
const handlers = {
  backends: async (name) => (await openEngine(name)).backends(),
  device: () => describeDevice(),
  checkPictures: () => requireUnaltered(),
  load: (request, context) => runtime.load(request, context),
  unload: () => runtime.unload(),
  classify: ({ image, topk }, { signal }) => runtime.classify(image, { topk, signal }),
  classifyAll: ({ images, topk }, { signal }) => runtime.classifyAll(images, { topk, signal }),
  benchmark: (options, { signal, onProgress }) => runtime.benchmark({ ...options, signal, onProgress }),
  clearCache: (site) => runtime.cache.clear(site),
};

/** @type {{[Type in keyof Notices]: (payload: Notices[Type]) => void}} @typedef {import('../common/protocol.js').Notices} Notices */
const notices = {
  configure: ({ wasmPath }) => {
    runtime.wasmPath = wasmPath;
  },
  visibility: ({ hidden }) => runtime.setHidden(hidden),
};

serve(globalThis, handlers, { exclusive: ['load', 'unload', 'classify', 'classifyAll', 'benchmark'], notices });
