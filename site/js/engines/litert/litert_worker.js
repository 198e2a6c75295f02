/** LiteRT.js in its own worker, a classic one: it loads its script with importScripts. */

import { loadLiteRt, Tensor } from '@litertjs/core';
import { messageOf, VitError } from '../../common/errors.js';
import { serveRuntime } from '../remote/worker.js';

/** @typedef {import('../remote/worker.js').OpenRequest} OpenRequest */
/** @typedef {import('../remote/worker.js').OpenedModel} OpenedModel */
/** @typedef {import('@litertjs/core').LiteRt} LiteRt */

const ON_GPU = 'runs on the GPU';
const PARTLY_ON_GPU = 'runs on the GPU, and on the CPU for operators that the GPU lacks';

serveRuntime('LiteRT', async (request) => {
  const { backend, threads, urls } = request;
  Object.assign(globalThis, {
    Module: { locateFile: () => urls.wasm, mainScriptUrlOrBlob: urls.script, print: () => {}, printErr: () => {} },
  });
  // It starts as many threads as the device has cores, and a graphics device wherever there is one.
  Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => threads });
  if (backend === 'wasm')
    Object.defineProperty(navigator, 'gpu', { get: () => ({ requestAdapter: async () => null }) });
  const runtime = await loadLiteRt(urls.script);
  if (backend === 'webgpu' && !runtime.getWebGpuDevice())
    throw new VitError('backend_unavailable', 'The browser gave LiteRT no GPU device.');
  return () => open(runtime, request);
});

/**
 * @param {LiteRt} runtime
 * @param {OpenRequest} request
 * @returns {Promise<OpenedModel>}
 */
async function open(runtime, { model, backend, threads }) {
  const compiled = await (backend === 'webgpu'
    ? compileForGpu(runtime, model)
    : runtime.loadAndCompile(model, { accelerator: 'wasm', cpuOptions: { numThreads: threads } }));
  const inputs = compiled.getInputDetails();
  const onGpu = compiled.isFullyAccelerated ? ON_GPU : PARTLY_ON_GPU;
  return {
    inputs: inputs.length,
    outputs: compiled.getOutputDetails().length,
    shape: inputs[0].shape,
    note: backend === 'webgpu' ? onGpu : '',
    run: async (values, shape) => {
      const input = new Tensor(values, shape);
      try {
        const [output] = await compiled.run(input);
        const logits = Float32Array.from(await output.data());
        output.delete();
        return logits;
      } finally {
        input.delete();
      }
    },
  };
}

/**
 * LiteRT knows fewer operations and shapes on WebGPU, and may silently take the processor instead.
 * @param {LiteRt} runtime
 * @param {Uint8Array} model
 */
async function compileForGpu(runtime, model) {
  let reason = 'it would run only on the CPU';
  try {
    const compiled = await runtime.loadAndCompile(model, { accelerator: 'webgpu' });
    if (compiled.options.accelerator === 'webgpu') return compiled;
  } catch (cause) {
    reason = messageOf(cause);
  }
  throw new VitError('backend_unavailable', `LiteRT cannot run this model on WebGPU: ${reason}`, {
    hint: 'Choose the wasm backend.',
  });
}
