/** Decodes an image file into pixels, in the worker, with the browser's own decoders. */

import { AS_STORED } from '../../shared/as_stored.js';
import { VitError } from '../../shared/errors.js';
import { inspect, noticesOf, overWhite, refuseTooLarge } from './inspect.js';

/**
 * @typedef {object} DecodedImage
 * @property {Uint8ClampedArray} pixels RGBA, opaque
 * @property {number} width after the EXIF orientation
 * @property {number} height
 * @property {string[]} notices what a visitor should know of how it was read
 */

const ON_WHITE = 'The image has transparent parts: they were placed on a white background.';

/**
 * Return a picture, of whatever kind it is; raises what `decode` raises.
 * @param {import('../../shared/protocol.js').Image} image
 * @returns {Promise<DecodedImage>}
 */
export async function readImage(image) {
  if (image instanceof Blob) return decode(image);
  return 'data' in image ? fromImageData(image) : fromBitmap(image);
}

/**
 * Return the picture of a file, upright, on white, in the colours as stored.
 *
 * Raises `empty_file`, `not_an_image`, `image_too_large`, `damaged_image`.
 * @param {Blob} blob
 * @returns {Promise<DecodedImage>}
 */
export async function decode(blob) {
  const info = inspect(new Uint8Array(await blob.arrayBuffer()));
  const bitmap = await bitmapOf(blob, info.type);
  return fromBitmap(bitmap, noticesOf(info));
}

/**
 * Return a bitmap as a picture and close it; raises `image_too_large`.
 * @param {ImageBitmap} bitmap
 * @param {string[]} [notices]
 * @returns {DecodedImage}
 */
export function fromBitmap(bitmap, notices = []) {
  try {
    const { width, height } = bitmap;
    refuseTooLarge(width, height);
    // Pixels that are read back once and never shown belong in main memory, where nothing alters them.
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    if (!context) throw new VitError('browser_too_old', 'This browser has no 2D canvas in a worker.');
    context.drawImage(bitmap, 0, 0);
    return fromImageData(context.getImageData(0, 0, width, height), notices);
  } finally {
    bitmap.close();
  }
}

/**
 * Return raw pixels as a picture; transparent ones are put on white.
 * @param {ImageData} imageData
 * @param {string[]} [notices]
 * @returns {DecodedImage}
 */
export function fromImageData({ data, width, height }, notices = []) {
  const pixels = /** @type {Uint8ClampedArray} */ (data);
  return { pixels, width, height, notices: overWhite(pixels) ? [...notices, ON_WHITE] : notices };
}

/** @param {Blob} blob @param {string} type @returns {Promise<ImageBitmap>} */
async function bitmapOf(blob, type) {
  if (typeof OffscreenCanvas === 'undefined')
    throw new VitError('browser_too_old', 'This browser has no OffscreenCanvas.');
  try {
    return await createImageBitmap(new Blob([blob], { type }), AS_STORED);
  } catch (cause) {
    throw new VitError(
      'damaged_image',
      `The browser cannot decode this ${type.replace('image/', '').toUpperCase()} file.`,
      { cause },
    );
  }
}
