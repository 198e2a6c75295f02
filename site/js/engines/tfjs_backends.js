/** The TensorFlow.js back ends: whether this browser has them, and how each is brought up. */

import { hasSimd, webglName } from '../device.js';
import { messageOf, VitError } from '../errors.js';
import { download } from './index.js';
import { activate, deactivate } from './tfjs_registry.js';
import { startWasm } from './tfjs_wasm.js';

/** @typedef {import('./index.js').BackendState} BackendState */
/** @typedef {import('./index.js').EngineOptions} EngineOptions */
/** @typedef {import('./tfjs_registry.js').Started} Started */

/**
 * One row a back end: what a probe finds (a reason why not, or a note), and how it is brought up.
 * @typedef {{probe: () => Promise<string | {note: string}>, start: (options: EngineOptions) => Promise<Started>}} Row
 * @type {Record<string, Row>}
 */
const BACKENDS = {
  wasm: {
    probe: async () => (hasSimd() ? { note: '' } : 'this browser has no WebAssembly SIMD'),
    start: async (options) => startWasm(await download(() => import('@tensorflow/tfjs-backend-wasm')), options),
  },
  webgl: {
    probe: probeWebgl,
    start: async () => {
      await download(() => import('@tensorflow/tfjs-backend-webgl'));
      return activate('webgl', 'runs on the graphics processor');
    },
  },
  webgpu: {
    probe: probeWebgpu,
    start: async () => {
      await download(() => import('@tensorflow/tfjs-backend-webgpu'));
      return activate('webgpu', 'runs on the graphics processor');
    },
  },
  cpu: {
    probe: async () => ({ note: 'plain JavaScript: slow, runs everywhere' }),
    start: async () => {
      await download(() => import('@tensorflow/tfjs-backend-cpu'));
      return activate('cpu', 'the cpu back end has one thread');
    },
  },
};

/** A reason why not, or a note on what there is. @returns {Promise<string | {note: string}>} */
async function probeWebgl() {
  const renderer = webglName();
  if (!renderer) return 'this browser offers no WebGL 2 in a worker';
  const software = /swiftshader|llvmpipe|software/i.test(renderer);
  return { note: software ? 'software renderer: slow, for checking only' : '' };
}

/** A reason why not, or a note on what there is. @returns {Promise<string | {note: string}>} */
async function probeWebgpu() {
  if (typeof navigator === 'undefined' || !navigator.gpu) return 'this browser has no WebGPU';
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) return 'WebGPU found no graphics adapter';
  const software = adapter.info?.isFallbackAdapter || /swiftshader/i.test(adapter.info?.architecture ?? '');
  return { note: software ? 'software adapter: slow, for checking only' : '' };
}

/** Return the state of every back end on this device. @returns {Promise<BackendState[]>} */
export async function probeBackends() {
  return Promise.all(
    Object.entries(BACKENDS).map(async ([name, { probe }]) => {
      const state = await probe();
      return typeof state === 'string'
        ? { name, available: false, reason: state }
        : { name, available: true, reason: state.note };
    }),
  );
}

/**
 * Make `backend` the one TensorFlow.js uses.
 * Raises `no_simd`, or `backend_unavailable` with the list of those that are.
 * @param {EngineOptions} options
 * @returns {Promise<Started>}
 */
export async function startBackend(options) {
  const { backend } = options;
  const states = await probeBackends();
  const state = states.find(({ name }) => name === backend);
  if (!state) throw unavailable(backend, 'there is no such back end', states);
  if (!state.available && backend === 'wasm') {
    const others = states.filter(({ available }) => available).map(({ name }) => name);
    throw new VitError(
      'no_simd',
      `The wasm back end needs WebAssembly SIMD, which this browser lacks; available: ${others.join(', ')}.`,
    );
  }
  if (!state.available) throw unavailable(backend, state.reason, states);
  try {
    return await BACKENDS[backend].start(options);
  } catch (cause) {
    deactivate(backend);
    if (cause instanceof VitError) throw cause;
    throw unavailable(backend, messageOf(cause), states, cause);
  }
}

/**
 * @param {string} backend
 * @param {string} reason
 * @param {BackendState[]} states
 * @param {unknown} [cause]
 * @returns {VitError}
 */
function unavailable(backend, reason, states, cause) {
  const others = states.filter(({ name, available }) => available && name !== backend).map(({ name }) => name);
  const list = others.join(', ') || 'none';
  const message = `The back end “${backend}” is not available here: ${reason}. Available: ${list}.`;
  return new VitError('backend_unavailable', message, { cause });
}
