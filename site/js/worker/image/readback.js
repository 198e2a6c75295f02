/**
 * Reads a picture's pixels through the browser's decoder and canvas, and knows whether the browser gives them back as
 * they are: some alter them at random so that pages cannot tell visitors apart.
 */

import { AS_STORED } from '../../common/as_stored.js';
import { VitError } from '../../common/errors.js';
import { encodePng } from './formats/png.js';

/** @typedef {import('./orientation.js').Pixels} Pixels */

/** The side of the known picture: large enough that sparse noise hits it. */
const SIDE = 128;
/** No canvas is so small that a browser cannot hold it; one with a longer side comes back empty in some. */
const SURE_SIDE = 8192;

const ALTERS = 'This browser alters pictures before this page can read them:';
const NONE = 'A prediction would be about another image, so there is none.';

/**
 * Return the pixels of an image file as RGBA, not turned.
 *
 * Raises `damaged_image` where the browser cannot decode it.
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {string} type
 * @param {{left: number, top: number, width: number, height: number} | null} [canvas] where the picture lies in a
 *   transparent one of what size; null: it fills it
 * @returns {Promise<Pixels>}
 */
export async function readPixels(bytes, type, canvas = null) {
  return pixelsOf(await bitmapOf(bytes, type), canvas);
}

/**
 * Return the pixels of a bitmap as RGBA, and close it.
 *
 * A known row lies above them and another below, so that each picture shows by itself whether it came back as it is.
 * Raises `altered_pictures` where the rows did not, `image_too_large` where the browser has no canvas of that size.
 * @param {ImageBitmap} bitmap
 * @param {{left: number, top: number, width: number, height: number} | null} [canvas] as `readPixels` has it
 * @returns {Pixels}
 */
export function pixelsOf(bitmap, canvas = null) {
  try {
    const { left, top, width, height } = canvas ?? { left: 0, top: 0, width: bitmap.width, height: bitmap.height };
    // Pixels that are read back once and never shown belong in main memory, where nothing alters them.
    const context = new OffscreenCanvas(width, height + 2).getContext('2d', { willReadFrequently: true });
    if (!context) throw new VitError('browser_too_old', 'This browser has no 2D canvas in a worker.');
    context.drawImage(bitmap, left, top + 1);
    const known = knownRow(width);
    for (const row of [0, height + 1]) context.putImageData(known, 0, row);
    const { data } = context.getImageData(0, 0, width, height + 2);
    requireKnownRows(data, known);
    return { data: data.subarray(4 * width, 4 * width * (height + 1)), width, height };
  } finally {
    bitmap.close();
  }
}

/** @param {number} width @returns {ImageData} a row without a pattern, opaque */
function knownRow(width) {
  const pixels = knownPixels(width);
  const row = new ImageData(width, 1);
  for (let at = 0; at < row.data.length; at++) row.data[at] = at % 4 === 3 ? 255 : pixels[3 * (at >> 2) + (at % 4)];
  return row;
}

/** @param {Uint8ClampedArray} data read back @param {ImageData} known its first and its last row */
function requireKnownRows(data, known) {
  const size = known.data.length;
  const rows = [data.subarray(0, size), data.subarray(data.length - size)];
  if (rows.every((row) => row.every((value, at) => value === known.data[at]))) return;
  const [width, height] = [known.width, data.length / size - 2];
  if (Math.max(width, height) > SURE_SIDE && rows.every((row) => row.every((value) => value === 0)))
    throw new VitError('image_too_large', `This browser cannot draw a picture of ${width}×${height} pixels.`);
  throw new VitError('altered_pictures', `${ALTERS} known pixels beside the picture came back different. ${NONE}`);
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
  const known = knownPixels(SIDE * SIDE);
  const { data } = await readPixels(encodePng(known, SIDE, SIDE), 'image/png');
  let altered = 0;
  for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
    const same = [0, 1, 2].every((channel) => data[4 * pixel + channel] === known[3 * pixel + channel]);
    if (!same || data[4 * pixel + 3] !== 255) altered++;
  }
  if (altered === 0) return;
  throw new VitError(
    'altered_pictures',
    `${ALTERS} of ${SIDE * SIDE} known pixels, ${altered} came back different. ${NONE}`,
  );
}

/** Pixels without a pattern, the same every time. @param {number} count @returns {Uint8Array} RGB */
function knownPixels(count) {
  let state = 1;
  return Uint8Array.from({ length: 3 * count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}
