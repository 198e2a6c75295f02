/** Weights packed at 3 to 8 bits with a scale per output channel, decoded at load. */

import { VitError } from '../../common/errors.js';

/**
 * What model.json says of a packed weight: `shape` [out, …] and the `axes` by which it was transposed. Its bytes are
 * the packed rows, float32 scales and, with `zero_points`, one uint8 per output channel.
 * @typedef {{bits: number, shape: number[], axes: number[], zero_points: boolean}} Packed
 */

/** @param {number} columns @param {number} bits @returns {number} the bytes of a row */
export const rowBytes = (columns, bits) => Math.ceil((columns * bits) / 8);

/** @param {number[]} sizes @returns {number} */
const product = (sizes) => sizes.reduce((total, size) => total * size, 1);

/**
 * Return the bytes that a packed weight takes; raises `bad_model` for a description that cannot be.
 * @param {string} name
 * @param {Packed} packed
 * @returns {number}
 */
export function packedBytes(name, { bits, shape, axes, zero_points }) {
  const sizes = Array.isArray(shape) && shape.length > 1 && shape.every((size) => Number.isInteger(size) && size > 0);
  const order = Array.isArray(axes) && [...axes].sort((a, b) => a - b).every((axis, index) => axis === index);
  if (!sizes || !order || axes.length !== shape.length || !(Number.isInteger(bits) && bits >= 3 && bits <= 8))
    throw new VitError('bad_model', `The packing of the weight ${name} is not supported.`);
  const [rows, ...rest] = shape;
  return rows * rowBytes(product(rest), bits) + 4 * rows + (zero_points ? rows : 0);
}

/** @param {Packed} packed @returns {number[]} the sizes of the transposed weight */
export const packedShape = ({ shape, axes }) => axes.map((axis) => shape[axis]);

/**
 * Return the codes 0 … 2^bits - 1 of packed rows, row by row: bit i of code j is bit (j·bits + i) of its row.
 * @param {Uint8Array} bytes
 * @param {number} rows
 * @param {number} columns
 * @param {number} bits
 * @returns {Uint8Array}
 */
export function unpackCodes(bytes, rows, columns, bits) {
  const codes = new Uint8Array(rows * columns);
  const width = rowBytes(columns, bits);
  const mask = (1 << bits) - 1;
  for (let row = 0, at = 0; row < rows; row++) {
    let next = row * width;
    let held = 0;
    let count = 0;
    for (let column = 0; column < columns; column++, at++) {
      if (count < bits) {
        held |= bytes[next++] << count;
        count += 8;
      }
      codes[at] = held & mask;
      held >>>= bits;
      count -= bits;
    }
  }
  return codes;
}

/**
 * Return the float32 values (code - zero point)·scale of a packed weight, transposed by its axes; raises `bad_model`.
 * @param {string} name
 * @param {Packed} packed
 * @param {Uint8Array} bytes
 * @returns {Float32Array<ArrayBuffer>}
 */
export function decodePacked(name, packed, bytes) {
  const needed = packedBytes(name, packed);
  if (bytes.byteLength !== needed)
    throw new VitError('bad_model', `The weight ${name} has ${bytes.byteLength} bytes; expected ${needed}.`);
  const { bits, shape, axes, zero_points } = packed;
  const rows = shape[0];
  const columns = product(shape.slice(1));
  const codesEnd = rows * rowBytes(columns, bits);
  const codes = unpackCodes(bytes.subarray(0, codesEnd), rows, columns, bits);
  const scales = new Float32Array(bytes.slice(codesEnd, codesEnd + 4 * rows).buffer);
  const points = zero_points ? bytes.subarray(codesEnd + 4 * rows) : null;
  const { rowStride, offsets } = places(shape, axes);
  const values = new Float32Array(codes.length);
  for (let row = 0, at = 0; row < rows; row++) {
    const scale = scales[row];
    const point = points ? points[row] : 2 ** (bits - 1);
    const start = row * rowStride;
    for (let column = 0; column < columns; column++, at++) {
      values[start + offsets[column]] = (codes[at] - point) * scale; // exact in float64, rounded once
    }
  }
  return values;
}

/**
 * Where the values of a row lie in the transposed array: at `row * rowStride + offsets[column]`.
 * @param {number[]} shape
 * @param {number[]} axes
 */
function places(shape, axes) {
  const strides = shape.map(() => 0);
  for (let place = axes.length - 1, step = 1; place >= 0; place--) {
    strides[axes[place]] = step;
    step *= shape[axes[place]];
  }
  let offsets = Int32Array.of(0);
  shape.slice(1).forEach((size, index) => {
    const stride = strides[index + 1];
    const before = offsets;
    offsets = new Int32Array(before.length * size);
    before.forEach((offset, at) => {
      for (let step = 0; step < size; step++) offsets[at * size + step] = offset + step * stride;
    });
  });
  return { rowStride: strides[0], offsets };
}
