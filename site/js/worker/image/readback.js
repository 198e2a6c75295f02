/**
 * Reads a picture's pixels through the browser's decoder and canvas, and knows whether the browser gives them back as
 * they are: some alter them at random so that pages cannot tell visitors apart.
 */

import { AS_STORED } from '../../shared/as_stored.js';
import { VitError } from '../../shared/errors.js';
import { encodePng } from './png.js';

/** The side of the known picture: large enough that sparse noise hits it. */
const SIDE = 128;

/**
 * Return the pixels of an image file as RGBA, not turned.
 *
 * Raises `damaged_image` where the browser cannot decode it.
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {string} type
 * @param {{left: number, top: number, width: number, height: number} | null} [canvas] where the picture lies in a
 *   transparent one of what size; null: it fills it
 * @returns {Promise<ImageData>}
 */
export async function readPixels(bytes, type, canvas = null) {
  return pixelsOf(await bitmapOf(bytes, type), canvas);
}

/**
 * Return the pixels of a bitmap as RGBA, and close it.
 * @param {ImageBitmap} bitmap
 * @param {{left: number, top: number, width: number, height: number} | null} [canvas] as `readPixels` has it
 * @returns {ImageData}
 */
export function pixelsOf(bitmap, canvas = null) {
  try {
    const { left, top, width, height } = canvas ?? { left: 0, top: 0, width: bitmap.width, height: bitmap.height };
    // Pixels that are read back once and never shown belong in main memory, where nothing alters them.
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    if (!context) throw new VitError('browser_too_old', 'This browser has no 2D canvas in a worker.');
    context.drawImage(bitmap, left, top);
    return context.getImageData(0, 0, width, height);
  } finally {
    bitmap.close();
  }
}

/** @param {Uint8Array<ArrayBuffer>} bytes @param {string} type @returns {Promise<ImageBitmap>} */
async function bitmapOf(bytes, type) {
  if (typeof OffscreenCanvas === 'undefined')
    throw new VitError('browser_too_old', 'This browser has no OffscreenCanvas.');
  try {
    return await createImageBitmap(new Blob([bytes], { type }), AS_STORED);
  } catch (cause) {
    const name = type.replace('image/', '').toUpperCase();
    throw new VitError('damaged_image', `The browser cannot decode this ${name} file.`, { cause });
  }
}

/** Set while the known picture is being read, and once it came back as it is. @type {Promise<void> | null} */
let checked = null;

/**
 * Draw known pixels, once, in the way that pictures take, and read them back.
 *
 * Raises `altered_pictures` where they differ; the next call then tries again, as visitors can allow it.
 * @returns {Promise<void>}
 */
export function requireUnaltered() {
  checked ??= checkReadback().catch((error) => {
    checked = null;
    throw error;
  });
  return checked;
}

async function checkReadback() {
  const known = knownPixels();
  const { data } = await readPixels(encodePng(known, SIDE, SIDE), 'image/png');
  let altered = 0;
  for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
    const same = [0, 1, 2].every((channel) => data[4 * pixel + channel] === known[3 * pixel + channel]);
    if (!same || data[4 * pixel + 3] !== 255) altered++;
  }
  if (altered === 0) return;
  throw new VitError(
    'altered_pictures',
    `This browser alters pictures before this page can read them: of ${SIDE * SIDE} known pixels, ${altered} came back ` +
      'different. A prediction would be about another image, so there is none.',
  );
}

/** Pixels without a pattern, the same every time. @returns {Uint8Array} RGB */
function knownPixels() {
  let state = 1;
  return Uint8Array.from({ length: 3 * SIDE * SIDE }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}
