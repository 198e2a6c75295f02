/**
 * Sessions of a runtime that lives in a worker of its own and ends with it: these runtimes keep their memory, their
 * threads and their settings for the life of the thread that they were started in.
 */

import { fromPlain, VitError } from '../../shared/errors.js';

/** @typedef {import('../index.js').Session} Session */
/** @typedef {import('./worker.js').Task} Task */
/** @typedef {import('./worker.js').Answer} Answer */
/** @typedef {{resolve: (answer: any) => void, reject: (error: unknown) => void}} Pending */

/**
 * Start the worker, hand it the model, and return what a session can do and what its runtime said of the model.
 *
 * Raises what the worker's own code raises, `network_lost` when its script cannot be had, and `aborted`.
 * @param {{script: string, type: WorkerType, task: Task, signal?: AbortSignal}} options the script's URL and its kind
 * @returns {Promise<Pick<Session, 'input' | 'run' | 'dispose'> & {note: string}>}
 */
export async function startRemote({ script, type, task, signal }) {
  const remote = new Remote(script, type);
  const onAbort = () => remote.end(new VitError('aborted', 'Cancelled.'));
  signal?.addEventListener('abort', onAbort);
  try {
    const { input, note } = await remote.ask(task);
    return {
      input,
      note,
      run: (values) => remote.ask(values),
      dispose: async () => remote.end(new VitError('not_loaded', 'The model was unloaded.')),
    };
  } catch (error) {
    remote.end(error);
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

/** A worker that answers in the order in which it is asked. */
class Remote {
  /** @type {Worker} */
  #worker;
  /** @type {Pending[]} */
  #pending = [];
  /** Why it can be asked nothing more. @type {unknown} */
  #ended = null;

  /** @param {string} script @param {WorkerType} type */
  constructor(script, type) {
    this.#worker = new Worker(script, { type });
    this.#worker.addEventListener('message', (/** @type {MessageEvent<Answer>} */ { data }) => {
      const asked = this.#pending.shift();
      if ('error' in data) asked?.reject(fromPlain(data.error));
      else asked?.resolve(data.value);
    });
    this.#worker.addEventListener('error', (event) => {
      event.preventDefault();
      this.end(
        event.message
          ? new VitError('internal', `The engine failed: ${event.message}`)
          : new VitError('network_lost', 'A script of the engine could not be loaded.', {
              hint: 'Check the connection, then reload the page.',
            }),
      );
    });
  }

  /** @param {Task | Float32Array} message @returns {Promise<any>} */
  ask(message) {
    return new Promise((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      this.#pending.push({ resolve, reject });
      this.#worker.postMessage(message);
    });
  }

  /** End the worker, which frees all that it holds; who still waits is answered with the error. @param {unknown} error */
  end(error) {
    this.#ended ??= error;
    this.#worker.terminate();
    for (const { reject } of this.#pending.splice(0)) reject(error);
  }
}
