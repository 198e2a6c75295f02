/**
 * Our own engine: runs a quantized Vision Transformer in integers, in WebAssembly.
 *
 * Its arithmetic is that of the recipe: 8-bit integers times integers of the weights' bits, summed in int32.
 */

import { throwIfAborted, VitError } from '../../common/errors.js';
import { fileUrl } from '../files.js';
import { startThreaded } from '../threads.js';
import { hasSimd } from '../wasm_features.js';
import { MAX_THREADS } from './contract.js';
import { readPlan } from './plan.js';
import { VitSession } from './session.js';
import { startThreads } from './threads.js';
import { compileBuild, fastestBuild, instantiateModel } from './wasm.js';

/** @typedef {import('../index.js').ArtifactBytes} ArtifactBytes */
/** @typedef {import('../index.js').EngineOptions} EngineOptions */
/** @typedef {import('../index.js').Session} Session */
/** @typedef {import('./session.js').Started} Started */

/** The file of a variant. */
const FILE = 'model.vit';
/** Devices with more cores have them for other work too; fewer may still be found to be faster. */
const DEFAULT_THREADS = 8;
/** The script of a thread; in Node, another one is given. */
const THREAD_SCRIPT = 'vit_thread.js';

/**
 * What only tests and tools set.
 * @typedef {object} EngineChoices
 * @property {string} [threadScript] URL of the script of a thread
 */

/** @type {import('../index.js').Engine} */
export const engine = { name: 'vit', backends, load };

/** @returns {Promise<import('../../common/protocol.js').BackendState[]>} */
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
  const startedAt = performance.now();
  if (options.backend !== 'wasm')
    throw new VitError('backend_unavailable', `The vit engine has no backend “${options.backend}”; it has: wasm.`);
  if (!hasSimd()) throw new VitError('no_simd', 'The vit engine needs WebAssembly SIMD, which this browser lacks.');
  const file = artifact.files.get(FILE);
  if (!file) throw new VitError('bad_model', `The variant has no ${FILE}.`);
  const plan = readPlan(file);
  options.onPhase?.('compile');
  const started = await start(plan, options);
  const compile_ms = performance.now() - startedAt - started.decode_ms;
  return new VitSession(started, plan.sizes, { compile_ms, tune: options.threads === undefined });
}

/**
 * @param {import('./plan.js').Plan} plan
 * @param {EngineOptions & EngineChoices} options
 * @returns {Promise<Started>}
 */
function start(plan, options) {
  const requested = options.threads === undefined ? undefined : Math.min(options.threads, MAX_THREADS);
  const fewer = requested === options.threads ? '' : `the engine supports at most ${MAX_THREADS} threads`;
  return startThreaded(
    requested,
    '',
    (threads, reason) => startWith(plan, threads, reason || fewer, options),
    DEFAULT_THREADS,
  );
}

/**
 * @param {import('./plan.js').Plan} plan
 * @param {number} threads
 * @param {string} reason
 * @param {EngineOptions & EngineChoices} options
 * @returns {Promise<Started>}
 */
async function startWith(
  plan,
  threads,
  reason,
  { build = fastestBuild(plan), batch = 1, wasmPath, threadScript, signal, onPhase },
) {
  const module = await compileBuild(wasmPath, threads > 1, build, signal);
  throwIfAborted(signal);
  onPhase?.('decode');
  const startedAt = performance.now();
  const images = Math.min(batch, threads);
  const instance = await instantiateModel(module, plan, threads, images);
  const decode_ms = performance.now() - startedAt;
  const script = threadScript ?? fileUrl(THREAD_SCRIPT, wasmPath);
  const end = threads > 1 ? await startThreads(instance, threads, script) : () => {};
  return { instance, build, threads, images, reason, decode_ms, end };
}
