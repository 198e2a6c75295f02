/** Whether this browser has a back end, and what is raised when it has not. */

import { VitError } from '../common/errors.js';
import { hasSimd } from './wasm_features.js';

/** @typedef {import('../common/protocol.js').BackendState} BackendState */
/** What a probe finds: a reason why not, or a note on what there is. @typedef {string | {note: string}} Finding */

/** @returns {Promise<Finding>} */
export async function probeWasm() {
  return hasSimd() ? { note: '' } : 'this browser has no WebAssembly SIMD';
}

/** @returns {Promise<Finding>} */
export async function probeWebgpu() {
  if (typeof navigator === 'undefined' || !navigator.gpu) return 'this browser has no WebGPU';
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) return 'WebGPU found no GPU adapter';
  const software = adapter.info?.isFallbackAdapter || /swiftshader/i.test(adapter.info?.architecture ?? '');
  return { note: software ? 'software adapter: slow, for testing only' : '' };
}

/** @returns {Promise<Finding>} */
export async function probeWebgl() {
  const renderer = webglName();
  if (!renderer) return 'this browser has no WebGL 2 in workers';
  const software = /swiftshader|llvmpipe|software/i.test(renderer);
  return { note: software ? 'software renderer: slow, for testing only' : '' };
}

/** The renderer's name, and that context given back. @returns {string} */
export function webglName() {
  if (typeof OffscreenCanvas === 'undefined') return '';
  const gl = new OffscreenCanvas(1, 1).getContext('webgl2');
  if (!gl) return '';
  const info = gl.getExtension('WEBGL_debug_renderer_info');
  const name = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return name || 'an unnamed WebGL 2 renderer';
}

/**
 * Return the state of every back end on this device.
 * @param {Record<string, () => Promise<Finding>>} probes
 * @returns {Promise<BackendState[]>}
 */
export async function probeAll(probes) {
  return Promise.all(
    Object.entries(probes).map(async ([name, probe]) => {
      const found = await probe();
      return typeof found === 'string'
        ? { name, available: false, reason: found }
        : { name, available: true, reason: found.note };
    }),
  );
}

/**
 * Raise `no_simd`, or `backend_unavailable` with the list of those that are, unless the back end is available.
 * @param {string} backend
 * @param {BackendState[]} states
 */
export function requireBackend(backend, states) {
  const state = states.find(({ name }) => name === backend);
  if (!state) throw unavailable(backend, 'there is no such backend', states);
  if (!state.available && backend === 'wasm') {
    const others = states.filter(({ available }) => available).map(({ name }) => name);
    throw new VitError(
      'no_simd',
      `The wasm backend needs WebAssembly SIMD, which this browser lacks; available: ${others.join(', ') || 'none'}.`,
      { hint: others.length > 0 ? undefined : 'Update the browser, or choose a variant of another engine.' },
    );
  }
  if (!state.available) throw unavailable(backend, state.reason, states);
}

/**
 * @param {string} backend
 * @param {string} reason
 * @param {BackendState[]} states
 * @param {unknown} [cause]
 * @returns {VitError}
 */
export function unavailable(backend, reason, states, cause) {
  const others = states.filter(({ name, available }) => available && name !== backend).map(({ name }) => name);
  const list = others.join(', ') || 'none';
  const message = `The backend “${backend}” is not available here: ${reason}. Available: ${list}.`;
  return new VitError('backend_unavailable', message, { cause });
}
