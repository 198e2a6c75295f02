/**
 * Our own engine: runs a quantized Vision Transformer in integers, in WebAssembly.
 *
 * Its arithmetic is that of the recipe: 8-bit integers times integers of the weights' bits, summed in int32.
 */

import { hasSimd } from '../device.js';
import { messageOf, throwIfAborted, VitError } from '../errors.js';
import { readPlan } from './vit_plan.js';
import { startThreads } from './vit_threads.js';
import { compileBuild, layOut } from './vit_wasm.js';

/** @typedef {import('./index.js').ArtifactBytes} ArtifactBytes */
/** @typedef {import('./index.js').EngineOptions} EngineOptions */
/** @typedef {import('./index.js').Session} Session */
/** @typedef {import('./vit_wasm.js').Instance} Instance */

/** The file of a variant. */
const FILE = 'model.vit';
/** More threads than this were never faster on models of this size. */
const MOST_THREADS = 8;
/** What the bundler calls the script of a thread; in Node, it is given. */
const THREAD_SCRIPT = typeof WASM_FILES === 'undefined' ? undefined : WASM_FILES['vit_thread.js'];

/**
 * What only tests and tools set.
 * @typedef {object} EngineChoices
 * @property {'relaxed' | 'plain'} [build] which build, where the device has it
 * @property {number} [dot] how operands are handed to the dot instruction, see `DOT`
 * @property {string} [threadScript] URL of the script of a thread
 */

/** @type {import('./index.js').Engine} */
export const engine = { name: 'vit', backends, load };

/** @returns {Promise<import('./index.js').BackendState[]>} */
async function backends() {
  const available = hasSimd();
  return [{ name: 'wasm', available, reason: available ? '' : 'this browser has no WebAssembly SIMD' }];
}

/**
 * Return a session of the model.
 *
 * Raises `bad_model`, `backend_unavailable`, `no_simd`, `out_of_memory`, `network_lost`, `http_error` or `aborted`.
 * @param {ArtifactBytes} artifact
 * @param {EngineOptions & EngineChoices} options
 * @returns {Promise<Session>}
 */
async function load(artifact, options) {
  const begun = performance.now();
  if (options.backend !== 'wasm')
    throw new VitError('backend_unavailable', `The vit engine has no back end “${options.backend}”; it has: wasm.`);
  if (!hasSimd()) throw new VitError('no_simd', 'The vit engine needs WebAssembly SIMD, which this browser lacks.');
  const file = artifact.files.get(FILE);
  if (!file) throw new VitError('bad_model', `The variant has no ${FILE}.`);
  const plan = readPlan(file);
  options.onPhase?.('compile');
  const started = await start(plan, options);
  const { instance } = started;
  const { height, width } = plan.sizes;
  return {
    backend: 'wasm',
    threads: started.threads,
    threads_reason: started.reason,
    input: [height, width, 3],
    decode_ms: started.decode_ms,
    compile_ms: performance.now() - begun - started.decode_ms,
    ...runner(instance, 3 * height * width, started.end),
  };
}

/**
 * An instance that is ready to run, with its threads.
 * @typedef {{instance: Instance, threads: number, reason: string, decode_ms: number, end: () => void}} Started
 */

/**
 * Start with the threads asked for, or with one and the reason why.
 * @param {import('./vit_plan.js').Plan} plan
 * @param {EngineOptions & EngineChoices} options
 * @returns {Promise<Started>}
 */
async function start(plan, options) {
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  const wanted = Math.min(MOST_THREADS, Math.max(1, options.threads ?? cores));
  if (!globalThis.crossOriginIsolated) {
    const reason = 'the page is not cross-origin isolated, so the browser gives it one thread';
    return startWith(plan, 1, wanted > 1 ? reason : '', options);
  }
  if (wanted === 1) return startWith(plan, 1, options.threads === 1 ? '' : 'this device reports one core', options);
  try {
    return await startWith(plan, wanted, '', options);
  } catch (error) {
    if (error instanceof VitError && error.code !== 'out_of_memory') throw error;
    return startWith(plan, 1, `${wanted} threads could not be started: ${messageOf(error)}`, options);
  }
}

/**
 * @param {import('./vit_plan.js').Plan} plan
 * @param {number} threads
 * @param {string} reason
 * @param {EngineOptions & EngineChoices} options
 * @returns {Promise<Started>}
 */
async function startWith(plan, threads, reason, { build, dot, wasmPath, threadScript, signal, onPhase }) {
  const folder = wasmPath ?? new URL('./', import.meta.url).href;
  const module = await compileBuild(folder, threads > 1, build);
  throwIfAborted(signal);
  onPhase?.('decode');
  const begun = performance.now();
  const instance = await layOut(module, plan, { threads, dot });
  const decode_ms = performance.now() - begun;
  const script = threadScript ?? new URL(THREAD_SCRIPT ?? 'vit_thread.js', folder).href;
  const end = threads > 1 ? await startThreads(instance, threads, script) : () => {};
  return { instance, threads, reason, decode_ms, end };
}

/**
 * @param {Instance} instance
 * @param {number} size
 * @param {() => void} end
 * @returns {Pick<Session, 'run' | 'dispose'>}
 */
function runner({ memory, exports }, size, end) {
  return {
    run: async (values) => {
      if (values.length !== size)
        throw new VitError('bad_request', `The input has ${values.length} values; the model takes ${size}.`);
      new Float32Array(memory.buffer, exports.input(), size).set(values);
      if (!exports.run()) throw new VitError('internal', 'The engine was not ready to run.');
      return new Float32Array(memory.buffer, exports.output(), exports.outputs()).slice();
    },
    dispose: async () => end(),
  };
}
