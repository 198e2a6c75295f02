/**
 * The ONNX Runtime Web engine: runs an ONNX model whose bytes are already here and verified.
 *
 * Products of integers are integer arithmetic on the wasm back end. WebGPU computes in float32; what it has no kernel
 * for, ONNX Runtime leaves to the processor.
 */

import { VitError } from '../errors.js';
import { ensureFetched, fileUrl } from './files.js';
import { probeAll, probeWasm, probeWebgpu, requireBackend } from './probes.js';
import { startRemote } from './remote.js';
import { startThreaded } from './threads.js';

/** @typedef {import('./index.js').ArtifactBytes} ArtifactBytes */
/** @typedef {import('./index.js').EngineOptions} EngineOptions */
/** @typedef {import('./index.js').Session} Session */

/** The file of a variant. */
const FILE = 'model.onnx';
const SCRIPT = 'ort_worker.js';
/** Back end → the build that has it. @type {Record<string, string>} */
const BUILDS = { wasm: 'ort-wasm-simd-threaded', webgpu: 'ort-wasm-simd-threaded.asyncify' };

/** @type {import('./index.js').Engine} */
export const engine = { name: 'ort', backends, load };

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
  const names = { script: `${BUILDS[backend]}.mjs`, wasm: `${BUILDS[backend]}.wasm` };
  const urls = { script: fileUrl(names.script, wasmPath), wasm: fileUrl(names.wasm, wasmPath) };
  await Promise.all([ensureFetched(names.script, urls.script, signal), ensureFetched(names.wasm, urls.wasm, signal)]);
  /** @param {number} threads @param {string} threads_reason */
  const start = async (threads, threads_reason) => {
    const task = { model, backend, threads, urls };
    const session = await startRemote({ script: fileUrl(SCRIPT, wasmPath), type: 'module', task, signal });
    return { ...session, threads, threads_reason: threads_reason || session.note };
  };
  const session = backend === 'wasm' ? await startThreaded(threads, '', start) : await start(1, '');
  return { ...session, backend, decode_ms: 0, compile_ms: performance.now() - begun };
}
