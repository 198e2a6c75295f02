/** Brings up TensorFlow.js' WebAssembly back end: where its binaries lie, and how many threads it gets. */

import * as tf from '@tensorflow/tfjs-core';
import { BUNDLED, fetchFile, fileUrl } from '../files.js';
import { startThreaded } from '../threads.js';
import { activate, deactivate } from './registry.js';

/** @typedef {typeof import('@tensorflow/tfjs-backend-wasm')} WasmModule */
/** @typedef {import('../index.js').EngineOptions} EngineOptions */
/** @typedef {import('./registry.js').Started} Started */

/** The binaries; TensorFlow.js takes their URLs only once. */
const BINARIES = { single: 'tfjs-backend-wasm-simd.wasm', threaded: 'tfjs-backend-wasm-threaded-simd.wasm' };
/** Their URLs, once they are set. @type {Map<string, string>} */
const urls = new Map();

/**
 * Seen with TF.js 4.22 in Firefox 153: a start with two threads may never end. Where the page starts them, as it does
 * those of other engines (`hosted_workers.js`), their script cannot be loaded: it is a blob, and so under its policy.
 */
const FIREFOX = 'in Firefox, TensorFlow.js does not always start with more than one thread';

/**
 * Start the back end with the threads requested, or with one and the reason why.
 * @param {WasmModule} wasm
 * @param {EngineOptions} options
 * @returns {Promise<Started>}
 */
export function startWasm(wasm, { threads, wasmPath }) {
  setPaths(wasm, wasmPath);
  const isFirefox = /\bFirefox\//.test(globalThis.navigator?.userAgent ?? '');
  return startThreaded(threads, isFirefox ? FIREFOX : '', (count, reason) => startWith(wasm, count, reason));
}

/**
 * @param {WasmModule} wasm
 * @param {number} threads
 * @param {string} reason
 * @returns {Promise<Started>}
 */
async function startWith(wasm, threads, reason) {
  const binary = threads > 1 ? BINARIES.threaded : BINARIES.single;
  const url = urls.get(binary);
  if (url) await fetchFile(binary, url);
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads > 1);
  wasm.setThreadsCount(threads);
  if (threads === 1) return activate('wasm', reason);
  const restore = reportCores(2 * threads);
  try {
    await orThreadError(activate('wasm', reason));
  } catch (error) {
    deactivate('wasm'); // it may be started anew, with one thread
    throw error;
  } finally {
    restore();
  }
  const started = wasm.getThreadsCount();
  return {
    threads: started,
    threads_reason: started < threads ? `the engine started ${started} of ${threads} threads` : '',
  };
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
      reject(new Error('their script could not be loaded'));
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
 * @param {string | undefined} folder
 */
function setPaths(wasm, folder) {
  if (!BUNDLED || urls.size > 0) return;
  for (const name of Object.values(BINARIES)) urls.set(name, fileUrl(name, folder));
  // The binary without SIMD is never asked for: `startBackend` has raised `no_simd` by then.
  wasm.setWasmPaths({ 'tfjs-backend-wasm.wasm': '', ...Object.fromEntries(urls) });
}
