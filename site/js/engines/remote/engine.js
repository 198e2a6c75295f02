/** Engines whose runtime lives in a worker of its own: which files they need is all in which they differ. */

import { VitError } from '../../shared/errors.js';
import { ensureFetched, fileUrl } from '../files.js';
import { probeAll, probeWasm, probeWebgpu, requireBackend } from '../probes.js';
import { startRemote } from './session.js';
import { startThreaded } from '../threads.js';

/** @typedef {import('../index.js').ArtifactBytes} ArtifactBytes */
/** @typedef {import('../index.js').Engine} Engine */
/** @typedef {import('../index.js').EngineOptions} EngineOptions */
/** @typedef {import('../index.js').Session} Session */

/**
 * @typedef {object} Runtime
 * @property {string} name
 * @property {string} file of a variant
 * @property {string} script of the worker
 * @property {WorkerType} type of that script
 * @property {(backend: string, threads: number) => {script: string, wasm: string}} build names of the runtime's files
 * @property {() => string} hindrance why there can be one thread only; '' when there can be more
 */

/** Return the engine of a runtime. @param {Runtime} runtime @returns {Engine} */
export function remoteEngine(runtime) {
  return { name: runtime.name, backends, load: (artifact, options) => load(runtime, artifact, options) };
}

/** @returns {Promise<import('../index.js').BackendState[]>} */
function backends() {
  return probeAll({ wasm: probeWasm, webgpu: probeWebgpu });
}

/**
 * Return a session of the model.
 *
 * Raises `bad_model`, `backend_unavailable`, `no_simd`, `out_of_memory`, `network_lost`, `http_error` or `aborted`.
 * @param {Runtime} runtime
 * @param {ArtifactBytes} artifact
 * @param {EngineOptions} options
 * @returns {Promise<Session>}
 */
async function load(runtime, { files }, { backend, threads, wasmPath, signal, onPhase }) {
  const begun = performance.now();
  requireBackend(backend, await backends());
  const model = files.get(runtime.file);
  if (!model) throw new VitError('bad_model', `The variant has no ${runtime.file}.`);
  onPhase?.('compile');
  /** @param {number} threads @param {string} threads_reason */
  const start = async (threads, threads_reason) => {
    const names = runtime.build(backend, threads);
    const urls = { script: fileUrl(names.script, wasmPath), wasm: fileUrl(names.wasm, wasmPath) };
    await Promise.all([ensureFetched(names.script, urls.script, signal), ensureFetched(names.wasm, urls.wasm, signal)]);
    const task = { model, backend, threads, urls };
    const session = await startRemote({ script: fileUrl(runtime.script, wasmPath), type: runtime.type, task, signal });
    return { ...session, threads, threads_reason: threads_reason || session.note };
  };
  const session = backend === 'wasm' ? await startThreaded(threads, runtime.hindrance(), start) : await start(1, '');
  return { ...session, backend, decode_ms: 0, compile_ms: performance.now() - begun };
}
