/**
 * The LiteRT.js engine: runs a .tflite model whose bytes are already here and verified.
 *
 * On the wasm back end, layers with 8-bit weights round their input to 8 bits and multiply integers. WebGPU computes in
 * float.
 */

import { remoteEngine } from '../remote/engine.js';
import { hasRelaxedSimd } from '../wasm_features.js';

const NO_RELAXED_SIMD = 'this browser has no relaxed SIMD, without which LiteRT has only one thread';

export const engine = remoteEngine({
  name: 'litert',
  file: 'model.tflite',
  script: 'litert_worker.js',
  type: 'classic',
  build: (backend, threads) => {
    const name = buildFor(backend, threads);
    return { script: `${name}.js`, wasm: `${name}.wasm` };
  },
  singleThreadReason: () => (hasRelaxedSimd() ? '' : NO_RELAXED_SIMD),
});

/**
 * Return the name of LiteRT's build for this browser.
 *
 * On WebGPU, operations that it lacks can run on the processor only where WebAssembly can wait for promises (JSPI).
 * @param {string} backend
 * @param {number} threads
 */
function buildFor(backend, threads) {
  if (!hasRelaxedSimd()) return 'litert_wasm_compat_internal';
  if (backend === 'webgpu' && 'Suspending' in WebAssembly) return 'litert_wasm_jspi_internal';
  return threads > 1 ? 'litert_wasm_threaded_internal' : 'litert_wasm_internal';
}
