/** The page's side of the runtime: every call is a promise that the worker settles, and can be cancelled. */

import { asVitError, fromPlain, VitError } from '../shared/errors.js';

/**
 * @typedef {import('../shared/protocol.js').LoadRequest} LoadRequest
 * @typedef {import('../shared/protocol.js').RequestType} RequestType
 * @typedef {{signal?: AbortSignal, onProgress?: (progress: any) => void}} CallOptions
 * @typedef {object} Pending
 * @property {(result: any) => void} resolve
 * @property {(error: VitError) => void} reject
 * @property {(progress: any) => void} onProgress
 */

/** One worker, and the requests it has not answered yet. */
export class Client {
  /** @type {Worker} */
  #worker;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #nextId = 1;
  /** Why no call can succeed any more. @type {VitError | null} */
  #ended = null;
  #onVisibility = () => this.#worker.postMessage({ type: 'visibility', hidden: document.hidden });

  /**
   * @param {string | URL} workerUrl
   * @param {{wasmPath?: string}} [options] folder of the engines' .wasm files, with a final slash; left out, the
   *   worker's own
   */
  constructor(workerUrl, { wasmPath } = {}) {
    this.#worker = new Worker(workerUrl, { type: 'module' });
    this.#worker.addEventListener('message', ({ data }) => this.#receive(data));
    this.#worker.addEventListener('error', (event) => this.#fail(event));
    if (wasmPath) this.#worker.postMessage({ type: 'configure', id: 0, payload: { wasmPath } });
    document.addEventListener('visibilitychange', this.#onVisibility);
    this.#onVisibility();
  }

  /**
   * Return every back end of an engine, with whether and why not.
   * @param {string} engine
   * @returns {Promise<import('../shared/protocol.js').BackendState[]>}
   */
  backends(engine) {
    return this.#call('backends', engine);
  }

  /** Return what the device says of itself. @returns {Promise<import('../shared/protocol.js').Device>} */
  device() {
    return this.#call('device');
  }

  /**
   * Load a variant of a model in place of the one loaded.
   * @param {LoadRequest} request
   * @param {{signal?: AbortSignal, onProgress?: (progress: import('../shared/protocol.js').LoadProgress) => void}} [options]
   * @returns {Promise<import('../shared/protocol.js').Loaded>}
   */
  load(request, options) {
    return this.#call('load', request, options);
  }

  /** Free the model that is loaded. @returns {Promise<void>} */
  unload() {
    return this.#call('unload');
  }

  /**
   * Classify one picture; it stays on this device.
   * @param {Blob | ImageData} image
   * @param {{topk?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<import('../shared/protocol.js').Classified>}
   */
  classify(image, { topk, signal } = {}) {
    return this.#call('classify', { image, topk }, { signal });
  }

  /**
   * Classify pictures, several at once where the model was loaded for that; they stay on this device.
   * @param {(Blob | ImageData)[]} images
   * @param {{topk?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<import('../shared/protocol.js').Outcome[]>}
   */
  classifyAll(images, { topk, signal } = {}) {
    return this.#call('classifyAll', { images, topk }, { signal });
  }

  /**
   * Time the loaded model on the last picture.
   * @param {{warmup_max?: number, runs?: number, signal?: AbortSignal}} [options]
   * @param {(progress: import('../shared/protocol.js').BenchmarkProgress) => void} [onProgress]
   * @returns {Promise<import('../shared/protocol.js').BenchmarkResult>}
   */
  benchmark({ warmup_max, runs, signal } = {}, onProgress) {
    return this.#call('benchmark', { warmup_max, runs }, { signal, onProgress });
  }

  /** Delete the models kept on this device. @returns {Promise<void>} */
  clearCache() {
    return this.#call('clearCache');
  }

  /** End the worker; calls that wait are rejected with `aborted`. */
  dispose() {
    document.removeEventListener('visibilitychange', this.#onVisibility);
    this.#end(new VitError('aborted', 'The runtime was ended.'));
    this.#worker.terminate();
  }

  /**
   * @param {RequestType} type
   * @param {unknown} [payload]
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   */
  #call(type, payload, { signal, onProgress = () => {} } = {}) {
    return new Promise((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      if (signal?.aborted) throw new VitError('aborted', 'Cancelled.');
      const id = this.#nextId++;
      // What runs on the worker may need a moment to notice; the caller need not wait for that.
      const onAbort = () => {
        this.#worker.postMessage({ type: 'abort', id });
        this.#settle(id)?.reject(new VitError('aborted', 'Cancelled.'));
      };
      const done = () => signal?.removeEventListener('abort', onAbort);
      this.#pending.set(id, {
        onProgress,
        resolve: (result) => (done(), resolve(result)),
        reject: (error) => (done(), reject(error)),
      });
      signal?.addEventListener('abort', onAbort);
      try {
        this.#worker.postMessage({ id, type, payload });
      } catch (error) {
        this.#settle(id)?.reject(asVitError(error));
      }
    });
  }

  /** @param {import('../shared/protocol.js').Answer} answer */
  #receive(answer) {
    if ('progress' in answer) this.#pending.get(answer.id)?.onProgress(answer.progress);
    else if (answer.ok) this.#settle(answer.id)?.resolve(answer.result);
    else this.#settle(answer.id)?.reject(fromPlain(answer.error));
  }

  /** The request, which is no longer waiting. @param {number} id @returns {Pending | undefined} */
  #settle(id) {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  /** The worker's script is missing or broken, or it died. @param {ErrorEvent} event */
  #fail({ message }) {
    const error = message
      ? new VitError('internal', `The runtime failed: ${message}`)
      : new VitError('network_lost', 'The script of the runtime could not be loaded.', {
          hint: 'Check the connection, then reload the page.',
        });
    this.#end(error);
  }

  /** @param {VitError} error */
  #end(error) {
    this.#ended ??= error;
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
  }
}

/**
 * Start the worker and return its client.
 * @param {string | URL} workerUrl
 * @param {{wasmPath?: string}} [options]
 * @returns {Client}
 */
export function createClient(workerUrl, options) {
  return new Client(workerUrl, options);
}
