/** Decodes an image file into pixels, in the worker, with the browser's own decoders. */

import { VitError } from '../../shared/errors.js';
import { inspect, noticesOf, overWhite } from './inspect.js';

/**
 * @typedef {object} DecodedImage
 * @property {Uint8ClampedArray} pixels RGBA, opaque
 * @property {number} width after the EXIF orientation
 * @property {number} height
 * @property {string[]} notices what a visitor should know of how it was read
 */

const ON_WHITE = 'The image has transparent parts: they were placed on a white background.';

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
  try {
    const { width, height } = bitmap;
    // Pixels that are read back once and never shown belong in main memory, where nothing alters them.
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    if (!context) throw new VitError('browser_too_old', 'This browser has no 2D canvas in a worker.');
    context.drawImage(bitmap, 0, 0);
    return fromImageData(context.getImageData(0, 0, width, height), noticesOf(info));
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
    // Models are trained on pixels as stored: colour profiles are not applied there, so neither here.
    const asStored = /** @type {const} */ ({
      imageOrientation: 'from-image',
      premultiplyAlpha: 'none',
      colorSpaceConversion: 'none',
    });
    return await createImageBitmap(new Blob([blob], { type }), asStored);
  } catch (cause) {
    throw new VitError(
      'damaged_image',
      `The browser cannot decode this ${type.replace('image/', '').toUpperCase()} file.`,
      { cause },
    );
  }
}
