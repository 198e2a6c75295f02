/**
 * Workers that a worker starts, started by the page in its place, in Firefox.
 *
 * There, a worker that starts another may wait for ever while a WebDriver session, another driver or the developer
 * tools listen for workers: both wait on one condition variable, of which only one is woken (`WaitForIsDebuggerRegistered`
 * in Firefox's WorkerPrivate.h; seen in Firefox 153). The page itself never waits for that.
 *
 * Between the page and a worker pass, beside the worker's own messages, {hosted: id, …}: a worker started here says
 * `start`, `message` and `end`, and hears `message` and `error`.
 *
 * @typedef {{start?: {script: string, options?: WorkerOptions}, message?: any, end?: true, error?: string}} Hosted
 * @typedef {Pick<Worker, 'addEventListener' | 'postMessage' | 'terminate'>} Host
 */

import { messageOf } from './errors.js';

/**
 * On the page: start a worker; the workers that it starts, and theirs, are started here and end with it.
 * @param {string | URL} script
 * @param {WorkerOptions} [options]
 * @returns {Host}
 */
export function hostWorker(script, options) {
  const worker = new Worker(script, options);
  /** @type {Map<number, Host>} */
  const hosted = new Map();

  /** @param {number} id @param {NonNullable<Hosted['start']>} start */
  const start = (id, { script, options }) => {
    /** @param {Hosted} said */
    const tell = (said) => worker.postMessage({ hosted: id, ...said });
    try {
      const one = hostWorker(script, options);
      hosted.set(id, one);
      one.addEventListener('message', ({ data }) => tell({ message: data }));
      one.addEventListener('error', (event) => {
        event.preventDefault?.();
        tell({ error: event.message ?? '' });
      });
    } catch (error) {
      tell({ error: messageOf(error) });
    }
  };
  /** @param {number} id */
  const end = (id) => {
    hosted.get(id)?.terminate();
    hosted.delete(id);
  };

  worker.addEventListener('message', (event) => {
    if (event.data?.hosted === undefined) return;
    event.stopImmediatePropagation();
    const said = /** @type {Hosted & {hosted: number}} */ (event.data);
    if (said.start) start(said.hosted, said.start);
    else if (said.end) end(said.hosted);
    else hosted.get(said.hosted)?.postMessage(said.message);
  });
  return {
    addEventListener: worker.addEventListener.bind(worker),
    postMessage: worker.postMessage.bind(worker),
    terminate: () => {
      worker.terminate();
      for (const id of [...hosted.keys()]) end(id);
    },
  };
}

/** In a worker, before it starts others: let the page start them, where that must be. */
export function startWorkersOnPage() {
  if (!/\bFirefox\//.test(navigator.userAgent)) return;
  addEventListener('message', (event) => {
    if (event.data?.hosted === undefined) return;
    event.stopImmediatePropagation();
    started.get(event.data.hosted)?.hear(event.data);
  });
  Object.assign(globalThis, { Worker: PageWorker });
}

/** What this worker has started, by id. @type {Map<number, PageWorker>} */
const started = new Map();
let count = 0;

/** What there is of a `Worker` in a worker whose own are started by the page. */
class PageWorker extends EventTarget {
  #id = count++;
  /** @type {((event: MessageEvent) => void) | null} */
  onmessage = null;
  /** @type {((event: ErrorEvent) => void) | null} */
  onerror = null;

  /** @param {string | URL} script @param {WorkerOptions} [options] */
  constructor(script, options) {
    super();
    started.set(this.#id, this);
    this.#tell({ start: { script: new URL(script, location.href).href, options } });
  }

  /** @param {any} message @param {Transferable[] | StructuredSerializeOptions} [moved] */
  postMessage(message, moved) {
    this.#tell({ message }, moved);
  }

  terminate() {
    started.delete(this.#id);
    this.#tell({ end: true });
  }

  /** Take what the page passes on. As with a `Worker`, an error that nobody handles is one of this worker too. @param {Hosted} said */
  hear({ message, error }) {
    if (error === undefined) {
      const event = new MessageEvent('message', { data: message });
      this.onmessage?.(event);
      this.dispatchEvent(event);
      return;
    }
    const event = new ErrorEvent('error', { message: error, cancelable: true });
    this.onerror?.(event);
    if (this.dispatchEvent(event)) reportError(new Error(error));
  }

  /** @param {Hosted} said @param {Transferable[] | StructuredSerializeOptions} [moved] */
  #tell(said, moved = []) {
    const options = Array.isArray(moved) ? { transfer: moved } : moved;
    /** @type {(message: any, options: StructuredSerializeOptions) => void} */ (postMessage)(
      { hosted: this.#id, ...said },
      options,
    );
  }
}
