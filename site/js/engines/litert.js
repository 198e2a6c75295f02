/**
 * The LiteRT.js engine: runs a .tflite model whose bytes are already here and verified.
 *
 * On the wasm back end, layers with 8-bit weights round their input to 8 bits and multiply integers. WebGPU computes in
 * float.
 */

import { hasRelaxedSimd } from '../device.js';
import { VitError } from '../errors.js';
import { ensureFetched, fileUrl } from './files.js';
import { probeAll, probeWasm, probeWebgpu, requireBackend } from './probes.js';
import { startRemote } from './remote.js';
import { startThreaded } from './threads.js';

/** @typedef {import('./index.js').ArtifactBytes} ArtifactBytes */
/** @typedef {import('./index.js').EngineOptions} EngineOptions */
/** @typedef {import('./index.js').Session} Session */

/** The file of a variant. */
const FILE = 'model.tflite';
const SCRIPT = 'litert_worker.js';
const HINDRANCE = 'this browser has no relaxed SIMD, without which LiteRT has one thread';

/** @type {import('./index.js').Engine} */
export const engine = { name: 'litert', backends, load };

/** @returns {Promise<import('./index.js').BackendState[]>} */
function backends() {
  return probeAll({ wasm: probeWasm, webgpu: probeWebgpu });
}

/**
 * Return a session of the model.
 *
 * Raises `bad_model`, `backend_unavailable`, `no_simd`, `out_of_memory`, `network_lost`, `http_error` or `aborted`.
 * @param {ArtifactBytes} artifact
 * @param {EngineOptions} options
 * @returns {Promise<Session>}
 */
async function load({ files }, { backend, threads, wasmPath, signal, onPhase }) {
  const begun = performance.now();
  requireBackend(backend, await backends());
  const model = files.get(FILE);
  if (!model) throw new VitError('bad_model', `The variant has no ${FILE}.`);
  onPhase?.('compile');
  /** @param {number} threads @param {string} threads_reason */
  const start = async (threads, threads_reason) => {
    const build = buildFor(backend, threads);
    const urls = { script: fileUrl(`${build}.js`, wasmPath), wasm: fileUrl(`${build}.wasm`, wasmPath) };
    await Promise.all([
      ensureFetched(`${build}.js`, urls.script, signal),
      ensureFetched(`${build}.wasm`, urls.wasm, signal),
    ]);
    const task = { model, backend, threads, urls };
    const session = await startRemote({ script: fileUrl(SCRIPT, wasmPath), type: 'classic', task, signal });
    return { ...session, threads, threads_reason: threads_reason || session.note };
  };
  const hindrance = hasRelaxedSimd() ? '' : HINDRANCE;
  const session = backend === 'wasm' ? await startThreaded(threads, hindrance, start) : await start(1, '');
  return { ...session, backend, decode_ms: 0, compile_ms: performance.now() - begun };
}

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
