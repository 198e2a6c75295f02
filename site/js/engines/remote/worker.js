/** The other side of `remote.js`: a runtime in a worker of its own. */

import { asVitError, toPlain, VitError } from '../../shared/errors.js';
import { arrange, readLayout } from '../layout.js';

/**
 * What a worker is told first: the model, what to run it on, and the URLs of the runtime's own files by their role.
 * @typedef {{model: Uint8Array<ArrayBuffer>, backend: string, threads: number, urls: Record<string, string>}} Task
 *
 * @typedef {{value: unknown} | {error: import('../../shared/errors.js').PlainError}} Answer
 *
 * A model that is ready to run, and what it says of itself; `note` is what to know about it, '' when there is nothing.
 * @typedef {object} Opened
 * @property {number} inputs
 * @property {number} outputs
 * @property {ArrayLike<number | string>} shape of the first input
 * @property {string} note
 * @property {(values: Float32Array, shape: number[]) => Promise<Float32Array<ArrayBuffer>>} run
 */

/**
 * Answer the task with the model's input size, and then every array of HWC values with logits.
 * @param {string} title of the runtime
 * @param {(task: Task) => Promise<() => Promise<Opened>>} start brings up the runtime; what it returns opens the model
 */
export function serve(title, start) {
  /** @type {Promise<unknown>} */
  let busy = Promise.resolve();
  /** @type {(values: Float32Array) => Promise<Float32Array<ArrayBuffer>>} */
  let run;
  /** @param {Task} task */
  const begin = async (task) => {
    const open = await start(task);
    try {
      const opened = await open();
      const layout = readLayout(opened);
      run = async (values) => opened.run(arrange(values, layout), layout.shape);
      return { input: layout.input, note: opened.note };
    } catch (error) {
      throw modelError(title, error);
    }
  };
  /** @param {Task | Float32Array} message */
  const answer = async (message) => {
    try {
      const value = message instanceof Float32Array ? await run(message) : await begin(message);
      postMessage({ value }, { transfer: value instanceof Float32Array ? [value.buffer] : [] });
    } catch (error) {
      postMessage({ error: toPlain(message instanceof Float32Array ? modelError(title, error) : error) });
    }
  };
  addEventListener('message', ({ data }) => {
    busy = busy.then(() => answer(data));
  });
}

/**
 * What a runtime throws while it reads or runs a model, as `bad_model` unless it is something known.
 * @param {string} title
 * @param {unknown} thrown
 */
function modelError(title, thrown) {
  const error = asVitError(thrown);
  if (error.code !== 'internal') return error;
  return new VitError('bad_model', `${title} cannot run this model: ${error.message}`, { cause: thrown });
}
