/**
 * Rewrites an image file into one that every browser decodes to the same pixels. `export/data/decoding/` does the same.
 *
 * - What turns the picture is taken out, to be applied to the pixels.
 * - A JPEG or PNG file that ends early is ended properly; rows that are missing are grey.
 * - Of an animated PNG the first frame of the animation is taken, also where another image stands in for it.
 * - A GIF is as large as its screen and its first frame together, and transparent around the frame.
 */

import { VitError } from '../../common/errors.js';
import { inflate } from './formats/inflate.js';
import { joined } from './formats/joined.js';
import { endJpeg, GREY } from './formats/jpeg.js';
import { readChunks, storeZlib, writeChunks } from './formats/png.js';
import { takeOrientation } from './orientation.js';

/** The share of rows that must be there. */
export const LEAST_SHARE = 0.75;
const CHANNELS = /** @type {Record<number, number>} */ ({ 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 });
/** Chunks that say nothing of the pixels of the frame that is taken. */
const DROPPED = new Set(['acTL', 'fcTL', 'fdAT', 'eXIf', 'IDAT', 'IEND']);

/**
 * @typedef {object} PlainFile
 * @property {Uint8Array<ArrayBuffer>} bytes
 * @property {number} orientation
 * @property {{left: number, top: number, width: number, height: number} | null} canvas where the decoded picture lies in
 *   one of what size; null: it fills it
 * @property {number | null} rows that the file has, of those stored; null: all, or only the decoder knows
 */

/**
 * Raises `damaged_image` where too little is there.
 * @param {Uint8Array<ArrayBuffer>} bytes may be changed
 * @param {import('./inspect.js').ImageInfo} info
 * @returns {PlainFile}
 */
export function rewrite(bytes, info) {
  const taken = takeOrientation(bytes, info.type);
  const plain = { ...taken, canvas: null, rows: null };
  if (info.type === 'image/jpeg' && info.truncated) return { ...plain, bytes: endJpeg(taken.bytes) };
  if (info.type === 'image/png') return { ...plain, ...plainPng(taken.bytes, info) };
  if (info.type === 'image/gif') return { ...plain, canvas: cutToFrame(taken.bytes, info) };
  return plain;
}

/** Make the rows from one on grey. @param {import('./orientation.js').Pixels} pixels @param {number} row */
export function fillRows({ data, width, height }, row) {
  new Uint32Array(data.buffer, data.byteOffset, width * height).fill(GREY, row * width);
}

/** Raises `damaged_image` unless most rows are there. @param {string} name @param {number} rows @param {number} height */
export function requireRows(name, rows, height) {
  if (rows >= LEAST_SHARE * height && rows > 0) return;
  const message = `The ${name} file is truncated: it has ${rows} of the image's ${height} rows.`;
  throw new VitError('damaged_image', message);
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {import('./inspect.js').ImageInfo} info
 * @returns {Pick<PlainFile, 'bytes' | 'canvas' | 'rows'>}
 */
function plainPng(bytes, { width, height, truncated }) {
  const chunks = readChunks(bytes);
  const frame = hiddenFrame(chunks, { width, height });
  if (!frame && !truncated) return { bytes, canvas: null, rows: null };
  const parts = frame?.parts ?? chunks.filter(({ kind }) => kind === 'IDAT').map(({ data }) => data);
  const header = headerOf(chunks[0].data, frame ?? { width, height });
  const { data, rows } = truncated ? completed(joined(parts), header) : { data: joined(parts), rows: null };
  if (frame && rows !== null && rows < frame.height)
    throw new VitError('damaged_image', 'The PNG file is truncated within the first frame of its animation.');
  const canvas = frame && { left: frame.left, top: frame.top, width, height };
  const kept = chunks.slice(1).filter(({ kind }) => !DROPPED.has(kind));
  const whole = [
    { kind: 'IHDR', data: header },
    ...(truncated ? kept.filter(({ kind }) => kind === 'PLTE' || kind === 'tRNS') : kept),
    { kind: 'IDAT', data },
    { kind: 'IEND', data: new Uint8Array() },
  ];
  return { bytes: writeChunks(whole), canvas, rows: frame ? null : rows };
}

/**
 * Return the first frame of an animation that leaves out the image that other programs show; null where there is none,
 * or where it does not lie on the picture.
 * @param {import('./formats/png.js').Chunk[]} chunks
 * @param {{width: number, height: number}} picture
 */
function hiddenFrame(chunks, picture) {
  const control = chunks.findIndex(({ kind, data }) => kind === 'fcTL' && data.length === 26);
  const image = chunks.findIndex(({ kind }) => kind === 'IDAT');
  if (!chunks.some(({ kind }) => kind === 'acTL') || control < 0 || control < image) return null;
  const { data } = chunks[control];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [width, height, left, top] = [4, 8, 12, 16].map((at) => view.getUint32(at));
  if (left + width > picture.width || top + height > picture.height) return null;
  const after = chunks.slice(control + 1);
  const next = after.findIndex(({ kind }) => kind === 'fcTL' || kind === 'IEND');
  const own = (next < 0 ? after : after.slice(0, next)).filter(({ kind, data }) => kind === 'fdAT' && data.length > 4);
  return own.length > 0 ? { width, height, left, top, parts: own.map(({ data }) => data.subarray(4)) } : null;
}

/** @param {Uint8Array} header @param {{width: number, height: number}} size */
function headerOf(header, { width, height }) {
  const own = header.slice();
  new DataView(own.buffer).setUint32(0, width);
  new DataView(own.buffer).setUint32(4, height);
  return own;
}

/**
 * Return a short stream of a picture's rows with as many empty ones as it lacks, packed anew.
 * @param {Uint8Array} stream
 * @param {Uint8Array} header
 */
function completed(stream, header) {
  const view = new DataView(header.buffer);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const bits = header[8] * (CHANNELS[header[9]] ?? 0);
  const sizes = header[12] ? passes(width, height) : [{ width, height }];
  const rowBytes = /** @param {number} columns */ (columns) => 1 + Math.ceil((columns * bits) / 8);
  const total = sizes.reduce((sum, pass) => sum + rowBytes(pass.width) * pass.height, 0);
  const found = inflate(stream, total);
  if (found.length === total) return { data: storeZlib(found), rows: height };
  if (header[12]) throw new VitError('damaged_image', 'The PNG file is truncated, and its rows are interlaced.');
  const rows = Math.floor(found.length / rowBytes(width));
  requireRows('PNG', rows, height);
  const filled = new Uint8Array(total);
  filled.set(found.subarray(0, rows * rowBytes(width)));
  return { data: storeZlib(filled), rows };
}

/** The seven sparse pictures that an interlaced one is stored as. @param {number} width @param {number} height */
function passes(width, height) {
  const grid = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
  ];
  const count = /** @type {(length: number, from: number, step: number) => number} */ (length, from, step) =>
    Math.max(0, Math.ceil((length - from) / step));
  return grid
    .map(([left, top, stepX, stepY]) => ({ width: count(width, left, stepX), height: count(height, top, stepY) }))
    .filter((pass) => pass.width > 0);
}

/**
 * Make a GIF's first frame its whole picture, in place, and return where it lies on the screen.
 * @param {Uint8Array} bytes
 * @param {import('./inspect.js').ImageInfo} info
 */
function cutToFrame(bytes, { frame, width, height }) {
  if (!frame || (frame.width === width && frame.height === height)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint16(6, frame.width, true);
  view.setUint16(8, frame.height, true);
  view.setUint32(frame.at + 1, 0);
  return { left: frame.left, top: frame.top, width, height };
}
