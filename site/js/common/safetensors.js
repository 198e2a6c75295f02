/** Reads a safetensors file: a header in JSON, then the tensors' bytes. Nothing in it is trusted. */

import { VitError } from './errors.js';

/** Bytes of one stored number. @type {Record<string, number>} */
const ITEM_BYTES = {
  ...{ BOOL: 1, U8: 1, I8: 1 },
  ...{ U16: 2, I16: 2, F16: 2, BF16: 2 },
  ...{ U32: 4, I32: 4, F32: 4 },
  ...{ U64: 8, I64: 8, F64: 8 },
};
const LENGTH_BYTES = 8;

/**
 * A tensor as it is stored, little-endian; `bytes` is a view of the file, aligned to nothing.
 * @typedef {{dtype: string, shape: number[], bytes: Uint8Array}} Tensor
 */

/** @typedef {{metadata: Record<string, string>, tensors: Map<string, Tensor>}} Safetensors */

/**
 * Return the metadata and the tensors of a safetensors file; raises `bad_model` where header and bytes do not fit.
 * @param {Uint8Array} file
 * @returns {Safetensors}
 */
export function readSafetensors(file) {
  if (file.byteLength < LENGTH_BYTES) throw bad(`it ends after ${file.byteLength} bytes`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > file.byteLength - LENGTH_BYTES) {
    throw bad(`its header is to have ${length} bytes; ${file.byteLength - LENGTH_BYTES} follow`);
  }
  const { __metadata__: metadata, ...entries } = readHeader(file.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
  const data = file.subarray(LENGTH_BYTES + length);
  const tensors = new Map(Object.entries(entries).map(([name, entry]) => [name, readTensor(name, entry, data)]));
  const held = [...tensors.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  if (held !== data.byteLength) throw bad(`its tensors have ${held} bytes; ${data.byteLength} follow the header`);
  return { metadata: readMetadata(metadata ?? {}), tensors };
}

/** @param {Uint8Array} bytes @returns {Record<string, unknown>} */
function readHeader(bytes) {
  let header;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw bad('its header is not JSON', cause);
  }
  if (!isRecord(header)) throw bad('its header is no list of tensors');
  return header;
}

/** @param {unknown} metadata @returns {Record<string, string>} */
function readMetadata(metadata) {
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string'))
    throw bad('its metadata is not made of texts');
  return /** @type {Record<string, string>} */ (metadata);
}

/** @param {string} name @param {unknown} entry @param {Uint8Array} data @returns {Tensor} */
function readTensor(name, entry, data) {
  const { dtype, shape, data_offsets: offsets } = isRecord(entry) ? entry : {};
  const width = typeof dtype === 'string' && Object.hasOwn(ITEM_BYTES, dtype) ? ITEM_BYTES[dtype] : 0;
  if (typeof dtype !== 'string' || !width) throw bad(`the tensor ${name} is of the type ${dtype}`);
  if (!areSizes(shape)) throw bad(`the tensor ${name} has the shape [${shape}]`);
  if (!areSizes(offsets) || offsets.length !== 2 || offsets[0] > offsets[1] || offsets[1] > data.byteLength)
    throw bad(`the tensor ${name} lies at [${offsets}] of ${data.byteLength} bytes`);
  const needed = shape.reduce((product, size) => product * size, width);
  if (offsets[1] - offsets[0] !== needed)
    throw bad(`the tensor ${name} has ${offsets[1] - offsets[0]} bytes; ${dtype} [${shape}] takes ${needed}`);
  return { dtype, shape, bytes: data.subarray(offsets[0], offsets[1]) };
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
const isRecord = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** @param {unknown} value @returns {value is number[]} */
const areSizes = (value) => Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);

/** @param {string} what @param {unknown} [cause] */
const bad = (what, cause) => new VitError('bad_model', `This is not a complete safetensors file: ${what}.`, { cause });
