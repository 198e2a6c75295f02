/**
 * The engines (JavaScript runtimes) the page can run a variant with; each is downloaded only when it is requested.
 *
 * An engine module exports `engine`, an `Engine`. To add one: write its adapter and a line here.
 */

/**
 * What a variant consists of: every file's verified bytes by its path inside the variant's folder.
 * @typedef {{files: Map<string, Uint8Array<ArrayBuffer>>}} ArtifactBytes
 *
 * @typedef {object} EngineOptions
 * @property {string} backend
 * @property {number} [threads] threads requested; left out, as many as pay
 * @property {number} [batch] most images that `runAll` is to run at once; left out, one
 * @property {string} [build] one of the engine's builds, for engines that have several; left out, this device's
 * @property {string} [wasmPath] URL (in Node: path) of the folder with the engine's .wasm files, with a final slash
 * @property {AbortSignal} [signal]
 * @property {(phase: 'decode' | 'compile') => void} [onPhase] told what begins
 *
 * @typedef {object} Session
 * @property {string} backend
 * @property {number} threads
 * @property {string} threads_reason why there are no more threads, or may soon be fewer; '' when it is as requested
 * @property {boolean} [settled] false as long as the runs themselves find out how many threads are the fastest
 * @property {string} [build] which of the engine's builds this is, for engines that have several
 * @property {[number, number, number]} input height, width, channels
 * @property {number} decode_ms stored numbers → float32; 0 where the runtime does that with everything else
 * @property {number} compile_ms everything else between the bytes and a session that can run
 * @property {(values: Float32Array) => Promise<Float32Array>} run normalised HWC values → logits, read back
 * @property {(images: Float32Array[]) => Promise<Float32Array[]>} [runAll] of several images, in engines that are
 *   faster so: each as `run` gives it
 * @property {() => Promise<void>} dispose
 *
 * @typedef {object} Engine
 * @property {string} name
 * @property {() => Promise<import('../common/protocol.js').BackendState[]>} backends
 * @property {(artifact: ArtifactBytes, options: EngineOptions) => Promise<Session>} load
 */

import { VitError } from '../common/errors.js';
import { download } from './files.js';

/** @type {Record<string, () => Promise<{engine: Engine}>>} */
export const ENGINES = {
  vit: () => import('./vit/vit.js'),
  tfjs: () => import('./tfjs/tfjs.js'),
  litert: () => import('./litert/litert.js'),
  ort: () => import('./ort/ort.js'),
};

/**
 * Return the engine of that name, downloading its code when needed; `bad_request` when there is none.
 * @param {string} name
 * @returns {Promise<Engine>}
 */
export async function openEngine(name) {
  const open = ENGINES[name];
  if (!open)
    throw new VitError('bad_request', `There is no engine “${name}”; available: ${Object.keys(ENGINES).join(', ')}.`);
  return (await download(open)).engine;
}
