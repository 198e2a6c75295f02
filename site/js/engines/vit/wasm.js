/** Brings up our engine's WebAssembly: which of its builds this device runs, and a model laid out in its memory. */

import { messageOf, VitError } from '../../common/errors.js';
import { fetchFile, fileUrl } from '../files.js';
import { hasByteDot, hasPairDot } from '../wasm_features.js';
import { FAULTS, FINGERPRINT } from './contract.js';
import { link } from './link.js';
import { describe } from './plan.js';

/** @typedef {import('./link.js').Exports} Exports */
/** @typedef {import('./plan.js').Plan} Plan */

const PAGE_BYTES = 65536;
/** A first, small instance only tells how much memory the model needs. */
const SMALL_PAGES = 32;

/** @typedef {{module: WebAssembly.Module, memory: WebAssembly.Memory, exports: Exports}} Instance */

/**
 * Return the name of the fastest build that this device has for the model. All give the same results.
 * @param {Plan} plan
 */
export function fastestBuild({ run }) {
  if (hasByteDot()) return 'relaxed';
  return run > 0 && hasPairDot() ? 'pairs' : 'plain';
}

/**
 * Return a compiled build.
 *
 * Raises `network_lost`, `http_error`, `aborted` or `backend_unavailable`.
 * @param {string | undefined} folder URL of the builds, with a final slash
 * @param {boolean} threaded
 * @param {string} build
 * @param {AbortSignal} [signal]
 * @returns {Promise<WebAssembly.Module>}
 */
export async function compileBuild(folder, threaded, build, signal) {
  const name = `vit-${build}${threaded ? '-threads' : ''}.wasm`;
  const bytes = await fetchFile(name, fileUrl(name, folder), signal);
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw new VitError('backend_unavailable', `The browser cannot compile the engine: ${messageOf(cause)}.`, { cause });
  }
}

/**
 * @param {WebAssembly.Module} module
 * @param {number} pages
 * @param {boolean} shared
 * @returns {Promise<Instance>}
 */
async function instantiate(module, pages, shared) {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
  return { module, memory, exports: await link(module, memory) };
}

/**
 * Return an instance with the model laid out; its memory has just the size that the model needs, for good.
 *
 * Raises `bad_model` or `out_of_memory`.
 * @param {WebAssembly.Module} module
 * @param {Plan} plan
 * @param {number} threads
 * @param {number} images that may be run at once
 * @returns {Promise<Instance>}
 */
export async function instantiateModel(module, plan, threads, images) {
  const shared = threads > 1;
  const small = await instantiate(module, SMALL_PAGES, shared);
  writeDescription(small, plan, threads, images);
  const bytes = small.exports.bytes_needed();
  if (bytes === 0) throw fault(small, 'The engine cannot run this model');
  const found = await withMemory(() => instantiate(module, Math.ceil(bytes / PAGE_BYTES), shared), bytes);
  writeDescription(found, plan, threads, images);
  const slots = found.exports.prepare();
  if (slots !== plan.parts.length) {
    if (slots === 0) throw fault(found, 'The engine cannot run this model');
    throw new VitError('bad_model', `The model has ${plan.parts.length} tensors; the engine expects ${slots}.`);
  }
  fill(found, plan);
  if (!found.exports.finish()) throw fault(found, 'The engine cannot run this model');
  return found;
}

/** @param {Instance} instance @param {Plan} plan @param {number} threads @param {number} images */
function writeDescription({ memory, exports }, plan, threads, images) {
  if (exports.contract() >>> 0 !== FINGERPRINT)
    throw new VitError('internal', 'The engine and the page have different versions.');
  const values = describe(plan, threads, images);
  new Int32Array(memory.buffer, exports.description(), values.length).set(values);
}

/** Hand each tensor to the engine, which unpacks it. @param {Instance} instance @param {Plan} plan */
function fill(instance, { parts }) {
  const { memory, exports } = instance;
  parts.forEach(({ name, bits, bytes }, slot) => {
    const room = memory.buffer.byteLength - exports.staging();
    if (bytes.byteLength <= room) new Uint8Array(memory.buffer).set(bytes, exports.staging());
    if (bytes.byteLength > room || !exports.fill(slot, bytes.byteLength, bits))
      throw fault(instance, `The engine cannot take the tensor ${name}`);
  });
}

/**
 * @template T
 * @param {() => Promise<T>} make
 * @param {number} bytes
 * @returns {Promise<T>}
 */
async function withMemory(make, bytes) {
  try {
    return await make();
  } catch (cause) {
    const message = `The browser cannot allocate ${Math.round(bytes / 1e6)} MB for the engine: ${messageOf(cause)}`;
    throw new VitError('out_of_memory', message, { cause });
  }
}

/** @param {Instance} instance @param {string} what */
function fault({ exports }, what) {
  return new VitError('bad_model', `${what}: ${FAULTS[exports.fault()] ?? 'for an unknown reason'}.`);
}
