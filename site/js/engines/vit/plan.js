/** Reads the file of our own engine: what the model is, and its tensors in the order in which the engine takes them. */

import { VitError } from '../../common/errors.js';
import { readSafetensors } from '../../common/safetensors.js';
import { FIELDS, FLOAT_BITS, FORMAT, VERSION } from './contract.js';

/**
 * `bits` is 3 to 8 for packed integers, 16 or 32 for floats.
 * @typedef {{name: string, bits: number, bytes: Uint8Array}} Part
 * `run` is how many steps of products the weights leave room for in sums of 16 bits, 0 where attention has none.
 * @typedef {{sizes: Record<string, number>, parts: Part[], run: number}} Plan
 */

/**
 * Return what the file says; raises `bad_model`. Whether sizes and tensors fit together is for the engine to check.
 * @param {Uint8Array} file
 * @returns {Plan}
 */
export function readPlan(file) {
  const { metadata, tensors } = readSafetensors(file);
  if (metadata.format !== FORMAT || metadata.schema_version !== String(VERSION)) {
    throw new VitError(
      'bad_model',
      `The file is “${metadata.format}”, version ${metadata.schema_version}; expected “${FORMAT}”, version ${VERSION}.`,
    );
  }
  const { sizes, tensors: listed, run } = parse(metadata.plan);
  const parts = listed.map(([name, packed]) => {
    const tensor = tensors.get(name);
    const bits = tensor?.dtype === 'U8' ? packed : FLOAT_BITS[tensor?.dtype ?? ''];
    if (!tensor || !isInt32(bits)) throw new VitError('bad_model', `The tensor ${name} is missing or not numeric.`);
    return { name, bits, bytes: tensor.bytes };
  });
  return { sizes, parts, run };
}

/** @param {string | undefined} text @returns {{sizes: Record<string, number>, tensors: [string, number][], run: number}} */
function parse(text) {
  let plan;
  try {
    plan = JSON.parse(text ?? '');
  } catch (cause) {
    throw new VitError('bad_model', 'The file has no plan of the model.', { cause });
  }
  const numbers = plan?.sizes && typeof plan.sizes === 'object' && Object.values(plan.sizes).every(Number.isFinite);
  if (!numbers || !isInt32(plan.run) || !Array.isArray(plan.tensors) || !plan.tensors.every(Array.isArray))
    throw new VitError('bad_model', 'The plan of the model is malformed.');
  return plan;
}

/** @param {unknown} value */
const isInt32 = (value) => typeof value === 'number' && (value | 0) === value;

/**
 * Return the engine's description, its fields in their order; raises `bad_model` where a size is missing or no int32.
 * @param {Plan} plan
 * @param {number} threads
 * @param {number} images at once
 * @returns {Int32Array}
 */
export function describe({ sizes }, threads, images) {
  /** @type {Record<string, number>} */
  const given = { ...sizes, threads, images };
  const values = FIELDS.map(({ name, type }) => (type === 'float32' ? floatBits(given[name]) : given[name]));
  const missing = FIELDS.filter((_, index) => !isInt32(values[index])).map(({ name }) => name);
  if (missing.length > 0) throw new VitError('bad_model', `The plan of the model lacks: ${missing.join(', ')}.`);
  return Int32Array.from(values);
}

/** Return the bits of a float32. @param {number} value */
const floatBits = (value) => new Int32Array(Float32Array.of(value).buffer)[0];
