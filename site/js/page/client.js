/** The page's side of the runtime: every call is a promise that the worker settles, and can be cancelled. */

import { VitError } from '../common/errors.js';
import { hostWorker } from '../common/hosted_workers.js';
import { RpcClient } from '../common/rpc.js';

/** @typedef {import('../common/protocol.js').Image} Image */
/** @typedef {import('../common/protocol.js').LoadProgress} LoadProgress */
/** @typedef {import('../common/protocol.js').BenchmarkProgress} BenchmarkProgress */

/** One worker, and the model that it has loaded. */
export class Client {
  /** @type {RpcClient<import('../common/protocol.js').Requests, import('../common/protocol.js').Notices>} */
  #rpc;
  #onVisibility = () => this.#rpc.notify('visibility', { hidden: document.hidden });

  /**
   * @param {string | URL} workerUrl
   * @param {{wasmPath?: string}} [options] folder of the engines' .wasm files, with a final slash; left out, the
   *   worker's own
   */
  constructor(workerUrl, { wasmPath } = {}) {
    this.#rpc = new RpcClient(hostWorker(workerUrl, { type: 'module' }), 'the runtime');
    if (wasmPath) this.#rpc.notify('configure', { wasmPath });
    document.addEventListener('visibilitychange', this.#onVisibility);
    this.#onVisibility();
  }

  /** Return every back end of an engine, with whether and why not. @param {string} engine */
  backends(engine) {
    return this.#rpc.call('backends', engine);
  }

  /** Return what the device says of itself. */
  device() {
    return this.#rpc.call('device');
  }

  /** Raise `altered_pictures` in a browser that gives pages other pixels than pictures have; the check is made once. */
  checkPictures() {
    return this.#rpc.call('checkPictures');
  }

  /** Whether the worker is gone, so that only a reload helps. */
  get ended() {
    return this.#rpc.ended;
  }

  /**
   * Load a variant of a model in place of the one loaded.
   * @param {import('../common/protocol.js').LoadRequest} request
   * @param {{signal?: AbortSignal, onProgress?: (progress: LoadProgress) => void}} [options]
   */
  load(request, options) {
    return this.#rpc.call('load', request, options);
  }

  /** Free the model that is loaded. */
  unload() {
    return this.#rpc.call('unload');
  }

  /**
   * Classify one image; it stays on this device.
   * @param {Image} image
   * @param {{topk?: number, signal?: AbortSignal}} [options]
   */
  classify(image, { topk, signal } = {}) {
    return this.#rpc.call('classify', { image, topk }, { signal });
  }

  /**
   * Classify images, several at once where the model was loaded for that; they stay on this device.
   * @param {Image[]} images
   * @param {{topk?: number, signal?: AbortSignal}} [options]
   */
  classifyAll(images, { topk, signal } = {}) {
    return this.#rpc.call('classifyAll', { images, topk }, { signal });
  }

  /**
   * Time the loaded model on the last image.
   * @param {{warmup_max?: number, runs?: number, signal?: AbortSignal}} [options]
   * @param {(progress: BenchmarkProgress) => void} [onProgress]
   */
  benchmark({ warmup_max, runs, signal } = {}, onProgress) {
    return this.#rpc.call('benchmark', { warmup_max, runs }, { signal, onProgress });
  }

  /** Delete the models of a site kept on this device. @param {string} site absolute URL of its root */
  clearCache(site) {
    return this.#rpc.call('clearCache', site);
  }

  /** End the worker; calls that wait are rejected with `aborted`. */
  dispose() {
    document.removeEventListener('visibilitychange', this.#onVisibility);
    this.#rpc.end(new VitError('aborted', 'The runtime was terminated.'));
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
