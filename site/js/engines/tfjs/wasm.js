/** Brings up TensorFlow.js' WebAssembly back end: where its binaries lie, and how many threads it gets. */

import * as tf from '@tensorflow/tfjs-core';
import { messageOf, VitError } from '../../shared/errors.js';
import { ensureFetched } from '../files.js';
import { activate, deactivate } from './registry.js';

/** @typedef {typeof import('@tensorflow/tfjs-backend-wasm')} WasmModule */
/** @typedef {import('../index.js').EngineOptions} EngineOptions */
/** @typedef {import('./registry.js').Started} Started */

/** The binaries' names → their hashed names, put here by the bundler; absent in Node. */
const HASHED_NAMES = typeof WASM_FILES === 'undefined' ? undefined : WASM_FILES;

/** More threads than this gain nothing on models of this size. */
const MOST_THREADS = 4;

/** The binaries' names → URLs, once they are set; TensorFlow.js takes them only once. @type {Map<string, string>} */
const binaries = new Map();

/**
 * Start the back end with the threads asked for, or with one and the reason why.
 * @param {WasmModule} wasm
 * @param {EngineOptions} options
 * @returns {Promise<Started>}
 */
export async function startWasm(wasm, { threads, wasmPath }) {
  setPaths(wasm, wasmPath ?? new URL('./', import.meta.url).href);
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  const wanted = Math.max(1, threads ?? Math.min(MOST_THREADS, cores));
  if (!globalThis.crossOriginIsolated) {
    const reason = 'the page is not cross-origin isolated, so the browser gives it one thread';
    return startWith(wasm, 1, wanted > 1 ? reason : '');
  }
  if (wanted === 1) return startWith(wasm, 1, threads === 1 ? '' : 'this device reports one core');
  try {
    const started = await startWith(wasm, wanted, '');
    if (started.threads < wanted) started.threads_reason = `the engine gave ${started.threads} of ${wanted} threads`;
    return started;
  } catch (error) {
    if (error instanceof VitError) throw error;
    // Shared memory reserves its maximum of 4 GiB, which iOS refuses.
    deactivate('wasm');
    return startWith(wasm, 1, `${wanted} threads could not be started: ${messageOf(error)}`);
  }
}

/**
 * @param {WasmModule} wasm
 * @param {number} threads
 * @param {string} reason
 * @returns {Promise<Started>}
 */
async function startWith(wasm, threads, reason) {
  const binary = threads > 1 ? 'tfjs-backend-wasm-threaded-simd.wasm' : 'tfjs-backend-wasm-simd.wasm';
  const url = binaries.get(binary);
  if (url) await ensureFetched(binary, url);
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads > 1);
  wasm.setThreadsCount(threads);
  if (threads === 1) return activate('wasm', reason);
  const restore = reportCores(2 * threads);
  try {
    await orThreadError(activate('wasm', reason));
  } finally {
    restore();
  }
  return { threads: wasm.getThreadsCount(), threads_reason: reason };
}

/**
 * Wait for the start, or raise the first error of a thread's script: the start would then wait for ever.
 * @param {Promise<unknown>} start
 * @returns {Promise<void>}
 */
async function orThreadError(start) {
  /** @type {(event: ErrorEvent) => void} */
  let onError = () => {};
  const failure = new Promise((_, reject) => {
    onError = (event) => {
      event.preventDefault();
      reject(new Error('the browser refused their script'));
    };
  });
  globalThis.addEventListener('error', onError);
  await Promise.race([start, failure]);
  // After a failure it stays, for the errors of the other threads; after the start it would hide those of the running.
  globalThis.removeEventListener('error', onError);
}

/**
 * Let this worker's navigator report so many cores, and return what undoes it.
 *
 * The binary's pool has at most half the reported cores, which on two cores would be one thread.
 * @param {number} cores
 * @returns {() => void}
 */
function reportCores(cores) {
  Object.defineProperty(navigator, 'hardwareConcurrency', { configurable: true, get: () => cores });
  return () => {
    Reflect.deleteProperty(navigator, 'hardwareConcurrency');
  };
}

/**
 * Tell TensorFlow.js where its binaries are; in Node it finds them itself.
 * @param {WasmModule} wasm
 * @param {string} folder
 */
function setPaths(wasm, folder) {
  if (!HASHED_NAMES || binaries.size > 0) return;
  for (const [name, file] of Object.entries(HASHED_NAMES)) binaries.set(name, new URL(file, folder).href);
  // The binary without SIMD is never asked for: `startBackend` has refused by then.
  wasm.setWasmPaths({ 'tfjs-backend-wasm.wasm': '', ...Object.fromEntries(binaries) });
}
