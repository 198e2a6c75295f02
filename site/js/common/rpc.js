/**
 * Calls from one thread to a worker: the page's to its worker, and an engine's to the worker that its runtime lives in.
 *
 * A request {id, type, payload} is answered by any number of {id, progress} and then one {id, ok: true, result} or
 * {id, ok: false, error}. {abort: id} aborts a request. A notice {type, payload} has no answer.
 *
 * A protocol is a type: request type → {payload, result, progress}. Both sides are checked against it.
 *
 * @typedef {{payload?: any, result?: any, progress?: any}} Signature
 * @typedef {Record<string, Signature>} Protocol
 *
 * @typedef {{id: number, type: string, payload: any}} Request
 * @typedef {{type: string, payload: any}} Notice
 * @typedef {Request | Notice | {abort: number}} Message
 * @typedef {{id: number, ok: true, result: any} | {id: number, ok: false, error: import('./errors.js').PlainError}} Response
 * @typedef {{id: number, progress: any} | Response} Reply
 *
 * What is used of a worker from outside, and of its global scope from inside.
 * @typedef {Pick<Worker, 'addEventListener' | 'terminate'> & Pick<RpcScope, 'postMessage'>} RpcWorker
 * @typedef {object} RpcScope
 * @property {(message: any, options?: StructuredSerializeOptions) => void} postMessage
 * @property {(type: 'message', listener: (event: MessageEvent) => void) => void} addEventListener
 */

import { asVitError, fromPlain, throwIfAborted, toPlain, VitError } from './errors.js';

/**
 * @template Progress
 * @typedef {object} CallOptions
 * @property {AbortSignal} [signal]
 * @property {(progress: Progress) => void} [onProgress]
 * @property {Transferable[]} [transfer] what of the payload is moved instead of copied
 */

/**
 * @typedef {object} Pending
 * @property {(result: any) => void} resolve
 * @property {(error: VitError) => void} reject
 * @property {(progress: any) => void} onProgress
 */

/**
 * The calling side: a worker, and the requests that it has not answered yet.
 * @template {Protocol} Requests
 * @template {Record<string, any>} [Notices={}]
 */
export class RpcClient {
  #worker;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #nextId = 1;
  /** Why no call can succeed any more. @type {VitError | null} */
  #ended = null;

  /**
   * @param {RpcWorker} worker
   * @param {string} subject what lives in the worker, for its errors: “the engine”
   */
  constructor(worker, subject) {
    this.#worker = worker;
    worker.addEventListener('message', ({ data }) => this.#receive(data));
    worker.addEventListener('error', (event) => this.end(scriptError(event, subject)));
  }

  /**
   * Send a request and return its result; raises what the worker raises, `aborted`, and why the worker has ended.
   * @template {keyof Requests & string} Type
   * @param {Type} type
   * @param {Requests[Type]['payload']} [payload]
   * @param {CallOptions<Requests[Type]['progress']>} [options]
   * @returns {Promise<Requests[Type]['result']>}
   */
  call(type, payload, { signal, onProgress = () => {}, transfer = [] } = {}) {
    return new Promise((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      throwIfAborted(signal);
      const id = this.#nextId++;
      // What runs on the worker may need a moment to notice; the caller need not wait for that.
      const onAbort = () => {
        this.#worker.postMessage({ abort: id });
        this.#settle(id)?.reject(new VitError('aborted', 'Cancelled.'));
      };
      const done = () => signal?.removeEventListener('abort', onAbort);
      this.#pending.set(id, {
        onProgress,
        resolve: (result) => {
          done();
          resolve(result);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      signal?.addEventListener('abort', onAbort);
      try {
        this.#worker.postMessage({ id, type, payload }, { transfer });
      } catch (error) {
        this.#settle(id)?.reject(asVitError(error));
      }
    });
  }

  /**
   * Send a notice, which has no answer.
   * @template {keyof Notices & string} Type
   * @param {Type} type
   * @param {Notices[Type]} payload
   */
  notify(type, payload) {
    this.#worker.postMessage({ type, payload });
  }

  /** Whether no call can succeed any more. */
  get ended() {
    return this.#ended !== null;
  }

  /** End the worker, which frees all that it holds; calls that wait are rejected with the error. @param {VitError} error */
  end(error) {
    this.#ended ??= error;
    this.#worker.terminate();
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
  }

  /** @param {Reply} reply */
  #receive(reply) {
    if ('progress' in reply) this.#pending.get(reply.id)?.onProgress(reply.progress);
    else if (reply.ok) this.#settle(reply.id)?.resolve(reply.result);
    else this.#settle(reply.id)?.reject(fromPlain(reply.error));
  }

  /** Return the request, which waits no longer. @param {number} id @returns {Pending | undefined} */
  #settle(id) {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }
}

/** The worker's script is missing or broken, or it died. @param {ErrorEvent} event @param {string} subject */
function scriptError({ message }, subject) {
  if (message) return new VitError('internal', `${subject[0].toUpperCase()}${subject.slice(1)} failed: ${message}`);
  return new VitError('network_lost', `A script of ${subject} could not be loaded.`, {
    hint: 'Check the connection, then reload the page.',
  });
}

/**
 * What a handler gets beside the payload.
 * @template Progress
 * @typedef {object} Context
 * @property {AbortSignal} signal
 * @property {(progress: Progress) => void} onProgress
 * @property {(...objects: Transferable[]) => void} transfer says what of the result is moved instead of copied
 */

/**
 * @template {Protocol} Requests
 * @typedef {{[Type in keyof Requests]:
 *   (payload: Requests[Type]['payload'], context: Context<Requests[Type]['progress']>) =>
 *     Requests[Type]['result'] | Promise<Requests[Type]['result']>}} Handlers
 */

/**
 * The answering side: serve requests and notices for as long as the worker lives.
 * @template {Protocol} Requests
 * @template {Record<string, any>} [Notices={}]
 * @param {RpcScope} scope the worker's global scope
 * @param {Handlers<Requests>} handlers
 * @param {object} [options]
 * @param {(keyof Requests)[]} [options.exclusive] requests that wait for each other; the others are handled at once
 * @param {{[Type in keyof Notices]: (payload: Notices[Type]) => void}} [options.notices]
 */
export function serve(scope, handlers, { exclusive = [], notices } = {}) {
  /** @type {Map<number, AbortController>} */
  const running = new Map();
  /** What the next exclusive request waits for. @type {Promise<unknown>} */
  let busy = Promise.resolve();

  /** @param {Request} request */
  const answer = async ({ id, type, payload }) => {
    const controller = new AbortController();
    running.set(id, controller);
    /** @type {Transferable[]} */
    const moved = [];
    /** @type {Context<unknown>} */
    const context = {
      signal: controller.signal,
      onProgress: (progress) => scope.postMessage({ id, progress }),
      transfer: (...objects) => moved.push(...objects),
    };
    const handle = async () => {
      throwIfAborted(context.signal);
      return handlerOf(handlers, type)(payload, context);
    };
    try {
      if (exclusive.includes(type)) busy = busy.then(handle, handle);
      const result = await (exclusive.includes(type) ? busy : handle());
      scope.postMessage({ id, ok: true, result }, { transfer: moved });
    } catch (error) {
      scope.postMessage({ id, ok: false, error: toPlain(error) });
    } finally {
      running.delete(id);
    }
  };

  scope.addEventListener('message', (/** @type {MessageEvent<Message>} */ { data }) => {
    if ('abort' in data) running.get(data.abort)?.abort();
    else if ('id' in data) answer(data);
    else handlerOf(notices ?? {}, data.type)(data.payload);
  });
}

/**
 * Return the handler of a type; raises `bad_request` when there is none.
 * @param {Record<string, any>} handlers
 * @param {string} type
 * @returns {(...args: any[]) => any}
 */
function handlerOf(handlers, type) {
  if (Object.hasOwn(handlers, type)) return handlers[type];
  throw new VitError(
    'bad_request',
    `The worker has no handler “${type}”; it has: ${Object.keys(handlers).join(', ')}.`,
  );
}
