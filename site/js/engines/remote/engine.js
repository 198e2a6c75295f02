/**
 * Engines whose runtime lives in a worker of its own and ends with it: these runtimes keep their memory, their threads
 * and their settings for the life of the thread that they were started in. They differ in nothing but their files.
 */

import { asVitError, VitError } from '../../common/errors.js';
import { RpcClient } from '../../common/rpc.js';
import { fetchFile, fileUrl } from '../files.js';
import { probeAll, probeWasm, probeWebgpu, requireBackend } from '../probes.js';
import { startThreaded } from '../threads.js';

/** A runtime whose threads have not started after so long is given one thread: they may never start. */
const START_TIMEOUT_MS = 45_000;

/** @typedef {import('../index.js').ArtifactBytes} ArtifactBytes */
/** @typedef {import('../index.js').Engine} Engine */
/** @typedef {import('../index.js').EngineOptions} EngineOptions */
/** @typedef {import('../index.js').Session} Session */

/**
 * @typedef {object} RemoteRuntime
 * @property {string} name
 * @property {string} file of a variant
 * @property {string} script of the worker
 * @property {WorkerType} type of that script
 * @property {(backend: string, threads: number) => {script: string, wasm: string}} build names of the runtime's files
 * @property {() => string} singleThreadReason why there can be one thread only; '' when there can be more
 */

/** Return the engine of a runtime. @param {RemoteRuntime} runtime @returns {Engine} */
export function remoteEngine(runtime) {
  return { name: runtime.name, backends, load: (artifact, options) => load(runtime, artifact, options) };
}

/** @returns {Promise<import('../../common/protocol.js').BackendState[]>} */
function backends() {
  return probeAll({ wasm: probeWasm, webgpu: probeWebgpu });
}

/**
 * Return a session of the model.
 *
 * Raises `bad_model`, `backend_unavailable`, `no_simd`, `out_of_memory`, `network_lost`, `http_error` or `aborted`.
 * @param {RemoteRuntime} runtime
 * @param {ArtifactBytes} artifact
 * @param {EngineOptions} options
 * @returns {Promise<Session>}
 */
async function load(runtime, { files }, { backend, threads, wasmPath, signal, onPhase }) {
  const startedAt = performance.now();
  requireBackend(backend, await backends());
  const model = files.get(runtime.file);
  if (!model) throw new VitError('bad_model', `The variant has no ${runtime.file}.`);
  onPhase?.('compile');
  /** @param {number} threads @param {string} threads_reason */
  const start = async (threads, threads_reason) => {
    const names = runtime.build(backend, threads);
    const urls = { script: fileUrl(names.script, wasmPath), wasm: fileUrl(names.wasm, wasmPath) };
    await Promise.all([fetchFile(names.script, urls.script, signal), fetchFile(names.wasm, urls.wasm, signal)]);
    const worker = new Worker(fileUrl(runtime.script, wasmPath), { type: runtime.type });
    const limit = threads > 1 ? START_TIMEOUT_MS : undefined;
    const { note, ...session } = await openRemote(worker, { model, backend, threads, urls }, { signal, limit });
    return { ...session, threads, threads_reason: threads_reason || note };
  };
  const session =
    backend === 'wasm' ? await startThreaded(threads, runtime.singleThreadReason(), start) : await start(1, '');
  return { ...session, backend, decode_ms: 0, compile_ms: performance.now() - startedAt };
}

/**
 * Open the model in the worker, and return what a session can do and what the runtime says of the model.
 *
 * Raises what the worker's own code raises, `network_lost` when its script cannot be had, `backend_unavailable` when it
 * takes longer than `limit` milliseconds, and `aborted`.
 * @param {Worker} worker
 * @param {import('./worker.js').OpenRequest} request
 * @param {{signal?: AbortSignal, limit?: number}} options
 * @returns {Promise<Pick<Session, 'input' | 'run' | 'dispose'> & {note: string}>}
 */
async function openRemote(worker, request, { signal, limit }) {
  /** @type {RpcClient<import('./worker.js').Requests>} */
  const rpc = new RpcClient(worker, 'the engine');
  // An error that nobody handles would be one of this worker too.
  worker.addEventListener('error', (event) => event.preventDefault());
  const late = () => rpc.end(new VitError('backend_unavailable', 'the runtime did not start in time'));
  const timer = limit === undefined ? undefined : setTimeout(late, limit);
  try {
    const { input, note } = await rpc.call('open', request, { signal });
    return {
      input,
      note,
      run: (values) => rpc.call('run', values),
      dispose: async () => rpc.end(new VitError('not_loaded', 'The model was unloaded.')),
    };
  } catch (error) {
    rpc.end(asVitError(error));
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
