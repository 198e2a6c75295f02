/** Brings up TensorFlow.js' WebAssembly back end: where its binaries lie, and how many threads it gets. */

import * as tf from '@tensorflow/tfjs-core';
import { asVitError } from '../errors.js';

/** @typedef {typeof import('@tensorflow/tfjs-backend-wasm')} WasmModule */
/** @typedef {import('./index.js').EngineOptions} EngineOptions */
/** @typedef {{threads: number, threads_reason: string}} Started */

/** The binaries' names → their hashed names, put here by the bundler; absent in Node. */
const HASHED_NAMES = typeof WASM_FILES === 'undefined' ? undefined : WASM_FILES;

/** More threads than this gain nothing on models of this size. */
const MOST_THREADS = 4;

let pathsAreSet = false;

/**
 * Start the back end with the threads asked for, or with one and the reason why.
 * @param {WasmModule} wasm
 * @param {(backend: string, threads_reason: string) => Promise<Started>} activate
 * @param {EngineOptions} options
 * @returns {Promise<Started>}
 */
export async function startWasm(wasm, activate, { threads, wasmPath }) {
  setPaths(wasm, wasmPath);
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  const wanted = Math.max(1, threads ?? Math.min(MOST_THREADS, cores));
  if (!globalThis.crossOriginIsolated) {
    const reason = 'the page is not cross-origin isolated, so the browser gives it one thread';
    return startWith(wasm, activate, 1, wanted > 1 ? reason : '');
  }
  if (wanted === 1) return startWith(wasm, activate, 1, threads === 1 ? '' : 'this device reports one core');
  try {
    const started = await startWith(wasm, activate, wanted, '');
    if (started.threads < wanted) started.threads_reason = `the engine gave ${started.threads} of ${wanted} threads`;
    return started;
  } catch (error) {
    // Shared memory reserves its maximum of 4 GiB, which iOS refuses.
    if (tf.findBackendFactory('wasm')) tf.removeBackend('wasm');
    return startWith(wasm, activate, 1, `starting ${wanted} threads failed: ${asVitError(error).message}`);
  }
}

/**
 * @param {WasmModule} wasm
 * @param {(backend: string, threads_reason: string) => Promise<Started>} activate
 * @param {number} threads
 * @param {string} reason
 * @returns {Promise<Started>}
 */
async function startWith(wasm, activate, threads, reason) {
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads > 1);
  wasm.setThreadsCount(threads);
  const restore = threads > 1 ? reportCores(2 * threads) : () => {};
  try {
    await activate('wasm', reason);
  } finally {
    restore();
  }
  return { threads: threads > 1 ? wasm.getThreadsCount() : 1, threads_reason: reason };
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
 * @param {string | undefined} wasmPath
 */
function setPaths(wasm, wasmPath) {
  if (!HASHED_NAMES || pathsAreSet) return;
  const folder = wasmPath ?? new URL('./', import.meta.url).href;
  // The binary without SIMD is never asked for: `startBackend` has refused by then.
  const paths = { 'tfjs-backend-wasm.wasm': '' };
  wasm.setWasmPaths({ ...paths, ...Object.fromEntries(Object.entries(HASHED_NAMES).map(([name, file]) => [name, folder + file])) });
  pathsAreSet = true;
}
