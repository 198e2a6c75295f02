/**
 * The ONNX Runtime Web engine: runs an ONNX model whose bytes are already here and verified.
 *
 * Products of integers are integer arithmetic on the wasm back end. WebGPU computes in float32; what it has no kernel
 * for, ONNX Runtime leaves to the processor.
 */

import { remoteEngine } from '../remote/engine.js';

/** Back end → the build that has it. @type {Record<string, string>} */
const BUILDS = { wasm: 'ort-wasm-simd-threaded', webgpu: 'ort-wasm-simd-threaded.asyncify' };

export const engine = remoteEngine({
  name: 'ort',
  file: 'model.onnx',
  script: 'ort_worker.js',
  type: 'module',
  build: (backend) => ({ script: `${BUILDS[backend]}.mjs`, wasm: `${BUILDS[backend]}.wasm` }),
  singleThreadReason: () => '',
});
