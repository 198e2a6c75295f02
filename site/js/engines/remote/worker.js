/** A runtime in a worker of its own: what `engine.js` asks of it. */

import { asVitError, VitError } from '../../common/errors.js';
import { startWorkersOnPage } from '../../common/hosted_workers.js';
import { serve } from '../../common/rpc.js';
import { arrange, readLayout } from '../layout.js';

/**
 * The model, what to run it on, and the URLs of the runtime's own files by their role.
 * @typedef {{model: Uint8Array<ArrayBuffer>, backend: string, threads: number, urls: Record<string, string>}} OpenRequest
 *
 * @typedef {object} Requests
 * @property {{payload: OpenRequest, result: {input: [number, number, number], note: string}}} open comes first, and once
 * @property {{payload: Float32Array, result: Float32Array}} run HWC values → logits
 *
 * A model that is ready to run, and what it says of itself; `note` is what to know about it, '' when there is nothing.
 * @typedef {object} OpenedModel
 * @property {number} inputs
 * @property {number} outputs
 * @property {ArrayLike<number | string>} shape of the first input
 * @property {string} note
 * @property {(values: Float32Array, shape: number[]) => Promise<Float32Array<ArrayBuffer>>} run
 */

/**
 * Serve a runtime's requests.
 * @param {string} title of the runtime
 * @param {(request: OpenRequest) => Promise<() => Promise<OpenedModel>>} start brings up the runtime; what it returns
 *   opens the model
 */
export function serveRuntime(title, start) {
  startWorkersOnPage();
  /** @type {(values: Float32Array) => Promise<Float32Array<ArrayBuffer>>} */
  let run = async () => {
    throw new VitError('not_loaded', 'No model is open.');
  };
  /** @type {import('../../common/rpc.js').Handlers<Requests>} */
  const handlers = {
    open: async (request) => {
      const open = await start(request);
      return orModelError(title, async () => {
        const model = await open();
        const layout = readLayout(model);
        run = (values) => model.run(arrange(values, layout), layout.shape);
        return { input: layout.input, note: model.note };
      });
    },
    run: async (values, { transfer }) => {
      const logits = await orModelError(title, () => run(values));
      transfer(logits.buffer);
      return logits;
    },
  };
  serve(globalThis, handlers, { exclusive: ['open', 'run'] });
}

/**
 * What a runtime throws while it reads or runs a model becomes `bad_model`, unless it is something known.
 * @template T
 * @param {string} title
 * @param {() => Promise<T>} task
 * @returns {Promise<T>}
 */
async function orModelError(title, task) {
  try {
    return await task();
  } catch (thrown) {
    const error = asVitError(thrown);
    if (error.code !== 'internal') throw error;
    throw new VitError('bad_model', `${title} cannot run this model: ${error.message}`, { cause: thrown });
  }
}
