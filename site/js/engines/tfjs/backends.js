/** The TensorFlow.js back ends: whether this browser has them, and how each is brought up. */

import { messageOf, VitError } from '../../common/errors.js';
import { download } from '../files.js';
import { probeAll, probeWasm, probeWebgl, probeWebgpu, requireBackend, unavailable } from '../probes.js';
import { activate, deactivate } from './registry.js';
import { startWasm } from './wasm.js';

/** @typedef {import('../../common/protocol.js').BackendState} BackendState */
/** @typedef {import('../index.js').EngineOptions} EngineOptions */
/** @typedef {import('./registry.js').Started} Started */

/**
 * One row a back end: what a probe finds (a reason why not, or a note), and how it is brought up.
 * @typedef {{probe: () => Promise<import('../probes.js').Finding>, start: (options: EngineOptions) => Promise<Started>}} Row
 * @type {Record<string, Row>}
 */
const BACKENDS = {
  wasm: {
    probe: probeWasm,
    start: async (options) => startWasm(await download(() => import('@tensorflow/tfjs-backend-wasm')), options),
  },
  webgl: {
    probe: probeWebgl,
    start: async () => {
      await download(() => import('@tensorflow/tfjs-backend-webgl'));
      return activate('webgl', 'runs on the GPU');
    },
  },
  webgpu: {
    probe: probeWebgpu,
    start: async () => {
      await download(() => import('@tensorflow/tfjs-backend-webgpu'));
      return activate('webgpu', 'runs on the GPU');
    },
  },
  cpu: {
    probe: async () => ({ note: 'plain JavaScript: slow, runs everywhere' }),
    start: async () => {
      await download(() => import('@tensorflow/tfjs-backend-cpu'));
      return activate('cpu', 'the cpu backend has one thread');
    },
  },
};

/** Return the state of every back end on this device. @returns {Promise<BackendState[]>} */
export function probeBackends() {
  return probeAll(Object.fromEntries(Object.entries(BACKENDS).map(([name, { probe }]) => [name, probe])));
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
  requireBackend(backend, states);
  try {
    return await BACKENDS[backend].start(options);
  } catch (cause) {
    deactivate(backend);
    if (cause instanceof VitError) throw cause;
    throw unavailable(backend, messageOf(cause), states, cause);
  }
}
