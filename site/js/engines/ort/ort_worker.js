/** ONNX Runtime Web in its own worker. */

import { messageOf, VitError } from '../../common/errors.js';
import { download } from '../files.js';
import { serveRuntime } from '../remote/worker.js';

/** @typedef {import('../remote/worker.js').OpenRequest} OpenRequest */
/** @typedef {import('../remote/worker.js').OpenedModel} OpenedModel */
/** @typedef {typeof import('onnxruntime-common')} OnnxRuntime */

const ON_GPU = 'runs on the GPU, and on the CPU for operators that the GPU lacks';
const ONLY_ERRORS = 3;

serveRuntime('ONNX Runtime', async (request) => {
  const runtime = await download(() =>
    request.backend === 'webgpu' ? import('onnxruntime-web/webgpu') : import('onnxruntime-web/wasm'),
  );
  const { env } = runtime;
  env.logLevel = 'error';
  env.wasm.numThreads = request.threads;
  env.wasm.proxy = false;
  env.wasm.wasmPaths = { mjs: request.urls.script, wasm: request.urls.wasm };
  return () => open(runtime, request);
});

/**
 * @param {OnnxRuntime} runtime
 * @param {OpenRequest} request
 * @returns {Promise<OpenedModel>}
 */
async function open({ InferenceSession, Tensor }, { model, backend }) {
  let session;
  try {
    session = await InferenceSession.create(model, { executionProviders: [backend], logSeverityLevel: ONLY_ERRORS });
  } catch (error) {
    throw startError(error);
  }
  const [{ name, ...metadata }] = session.inputMetadata;
  return {
    inputs: session.inputNames.length,
    outputs: session.outputNames.length,
    shape: metadata.isTensor ? metadata.shape : [],
    note: backend === 'webgpu' ? ON_GPU : '',
    run: async (values, shape) => {
      const input = new Tensor('float32', values, shape);
      const [output] = Object.values(await session.run({ [name]: input }));
      const logits = Float32Array.from(/** @type {Float32Array} */ (await output.getData()));
      output.dispose();
      return logits;
    },
  };
}

/**
 * ONNX Runtime starts when its first session is made: what it then says of its back end is not the model's fault.
 * @param {unknown} thrown
 */
function startError(thrown) {
  const message = messageOf(thrown);
  if (!message.startsWith('no available backend found')) return thrown;
  const code = /memory/i.test(message) ? 'out_of_memory' : 'backend_unavailable';
  return new VitError(code, `ONNX Runtime did not start: ${message}`, { cause: thrown });
}
