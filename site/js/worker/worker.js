/** The worker: answers the client's requests, the ones that use the model one after the other. */

import { describeDevice } from './device.js';
import { openEngine } from '../engines/index.js';
import { throwIfAborted, toPlain, VitError } from '../shared/errors.js';
import { Runtime } from './runtime.js';

/**
 * @typedef {import('../shared/protocol.js').Request} Request
 * @typedef {import('../shared/protocol.js').Note} Note
 * @typedef {import('../shared/protocol.js').RequestType} RequestType
 * @typedef {{signal: AbortSignal, onProgress: (progress: unknown) => void}} Context
 */

const runtime = new Runtime();
/** @type {Map<number, AbortController>} */
const running = new Map();
/** What the next request that uses the model waits for. @type {Promise<unknown>} */
let busy = Promise.resolve();

/** Requests that use the model wait for each other; the others are answered at once. @type {Set<RequestType>} */
const EXCLUSIVE = new Set(['load', 'unload', 'classify', 'classifyAll', 'benchmark']);

/** @type {Record<RequestType, (payload: any, context: Context) => Promise<unknown>>} */
const HANDLERS = {
  configure: async ({ wasmPath }) => {
    runtime.wasmPath = wasmPath;
  },
  backends: async (name) => (await openEngine(name)).backends(),
  device: () => describeDevice(),
  load: (request, context) => runtime.load(request, context),
  unload: () => runtime.unload(),
  classify: ({ image, topk }, { signal }) => runtime.classify(image, { topk, signal }),
  classifyAll: ({ images, topk }, { signal }) => runtime.classifyAll(images, { topk, signal }),
  benchmark: (options, context) => runtime.benchmark({ ...options, ...context }),
  clearCache: () => runtime.cache.clear(),
};

/** @param {Request} request */
async function answer({ id, type, payload }) {
  const controller = new AbortController();
  running.set(id, controller);
  const { signal } = controller;
  const handle = async () => {
    throwIfAborted(signal);
    const handler = HANDLERS[type];
    if (!handler) throw new VitError('bad_request', `The worker knows no request “${type}”.`);
    return handler(payload, { signal, onProgress: (progress) => postMessage({ id, progress }) });
  };
  try {
    const result = EXCLUSIVE.has(type) ? (busy = busy.then(handle, handle)) : handle();
    postMessage({ id, ok: true, result: await result });
  } catch (error) {
    postMessage({ id, ok: false, error: toPlain(error) });
  } finally {
    running.delete(id);
  }
}

addEventListener('message', (/** @type {MessageEvent<Request | Note>} */ { data }) => {
  if (data.type === 'abort') running.get(data.id)?.abort();
  else if (data.type === 'visibility') runtime.setHidden(data.hidden);
  else answer(data);
});
