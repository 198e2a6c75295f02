/**
 * The orientation of a picture: found in its file, taken out of it, and applied to pixels. Pure: no DOM.
 *
 * Browsers differ in which formats they turn, so none is left to do it. JPEG, PNG and WebP files say it in EXIF data; in
 * AVIF files EXIF says nothing about it.
 */

import { takeAvifOrientation } from './formats/avif.js';
import { readChunks, writeChunks } from './formats/png.js';

const TAG = 0x0112;
const SHORT = 3;

/**
 * How pixels come upright: whether columns and rows change places, and which side of the stored picture comes first.
 * @type {Record<number, {swap: boolean, right: boolean, bottom: boolean}>}
 */
const TURNS = {
  2: { swap: false, right: true, bottom: false },
  3: { swap: false, right: true, bottom: true },
  4: { swap: false, right: false, bottom: true },
  5: { swap: true, right: false, bottom: false },
  6: { swap: true, right: false, bottom: true },
  7: { swap: true, right: true, bottom: true },
  8: { swap: true, right: true, bottom: false },
};

/** Where EXIF data lies in a file, by its type. @type {Record<string, (bytes: Uint8Array) => Uint8Array | null>} */
const FINDERS = { 'image/jpeg': inJpeg, 'image/webp': inWebp };

/**
 * Return a file's orientation as EXIF numbers it, 1 where there is none, and the file without it.
 *
 * The bytes of all but PNG files are changed in place.
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {string} type
 * @returns {{bytes: Uint8Array<ArrayBuffer>, orientation: number}}
 */
export function takeOrientation(bytes, type) {
  if (type === 'image/png') return takeFromPng(bytes);
  if (type === 'image/avif') return { bytes, orientation: takeAvifOrientation(bytes) };
  const exif = FINDERS[type]?.(bytes);
  const place = exif ? placeOf(exif) : null;
  if (!place) return { bytes, orientation: 1 };
  const orientation = place.view.getUint16(place.at, place.little);
  if (!TURNS[orientation]) return { bytes, orientation: 1 };
  place.view.setUint16(place.at, 1, place.little);
  return { bytes, orientation };
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
function takeFromPng(bytes) {
  const chunks = readChunks(bytes);
  const place = placeOf(chunks.find(({ kind }) => kind === 'eXIf')?.data ?? new Uint8Array());
  const orientation = place ? place.view.getUint16(place.at, place.little) : 1;
  if (!TURNS[orientation]) return { bytes, orientation: 1 };
  return { bytes: writeChunks(chunks.filter(({ kind }) => kind !== 'eXIf')), orientation };
}

/** The first APP1 segment with EXIF data before the scan. @param {Uint8Array} bytes @returns {Uint8Array | null} */
function inJpeg(bytes) {
  for (let at = 2; at + 4 <= bytes.length; ) {
    if (bytes[at] !== 0xff || bytes[at + 1] === 0xff) {
      at++;
      continue;
    }
    const marker = bytes[at + 1];
    if (marker === 0xda || marker === 0xd9) return null;
    const length = bytes[at + 2] * 256 + bytes[at + 3];
    if (marker === 0xe1 && hasPrefix(bytes, at + 4)) return bytes.subarray(at + 4, at + 2 + length);
    at += 2 + length;
  }
  return null;
}

/** @param {Uint8Array} bytes @returns {Uint8Array | null} */
function inWebp(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (String.fromCharCode(...bytes.subarray(at, at + 4)) === 'EXIF') return bytes.subarray(at + 8, at + 8 + length);
    at += 8 + length + (length & 1);
  }
  return null;
}

/** Whether EXIF data is announced, as JPEG files must and others may. @param {Uint8Array} bytes @param {number} at */
const hasPrefix = (bytes, at) => String.fromCharCode(...bytes.subarray(at, at + 6)) === 'Exif\0\0';

/**
 * Return where the first directory has an orientation.
 * @param {Uint8Array} exif
 * @returns {{view: DataView, at: number, little: boolean} | null}
 */
function placeOf(exif) {
  const tiff = hasPrefix(exif, 0) ? exif.subarray(6) : exif;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const order = String.fromCharCode(...tiff.subarray(0, 4));
  if (order !== 'II*\0' && order !== 'MM\0*') return null;
  const little = order[0] === 'I';
  try {
    const directory = view.getUint32(4, little);
    const count = view.getUint16(directory, little);
    for (let at = directory + 2; at < directory + 2 + 12 * count; at += 12) {
      if (view.getUint16(at, little) !== TAG) continue;
      const right = view.getUint16(at + 2, little) === SHORT && view.getUint32(at + 4, little) === 1;
      view.getUint16(at + 8, little);
      return right ? { view, at: at + 8, little } : null;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the directory points beyond the data
  }
  return null;
}

/**
 * @typedef {object} Pixels
 * @property {Uint8ClampedArray} data RGBA
 * @property {number} width
 * @property {number} height
 */

/** Return pixels turned upright. @param {Pixels} pixels @param {number} orientation @returns {Pixels} */
export function turn(pixels, orientation) {
  const turned = TURNS[orientation];
  if (!turned) return pixels;
  const { data, width, height } = pixels;
  const { swap, right, bottom } = turned;
  const size = swap ? { width: height, height: width } : { width, height };
  const from = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const to = new Uint32Array(width * height);
  const first = (right ? width - 1 : 0) + (bottom ? (height - 1) * width : 0);
  const [along, down] = [right ? -1 : 1, bottom ? -width : width];
  const [stepX, stepY] = swap ? [down, along] : [along, down];
  for (let y = 0, at = 0; y < size.height; y++) {
    for (let x = 0, source = first + y * stepY; x < size.width; x++, source += stepX) to[at++] = from[source];
  }
  return { data: new Uint8ClampedArray(to.buffer), ...size };
}
