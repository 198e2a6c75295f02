/** Pictures of whatever kind: a file, raw pixels, or a bitmap that the browser has decoded or drawn already. */

import { VitError } from '../../shared/errors.js';
import { decode, fromImageData } from './decode.js';
import { MAX_PIXELS } from './inspect.js';

/** @typedef {import('./decode.js').DecodedImage} DecodedImage */

/**
 * Return a picture; raises what `decode` raises.
 * @param {import('../../shared/protocol.js').Image} image
 * @returns {Promise<DecodedImage>}
 */
export async function readImage(image) {
  if (image instanceof Blob) return decode(image);
  return 'data' in image ? fromImageData(image) : fromBitmap(image);
}

/**
 * Return a bitmap as a picture, on white, and close it; raises `image_too_large`.
 * @param {ImageBitmap} bitmap
 * @returns {DecodedImage}
 */
function fromBitmap(bitmap) {
  try {
    const { width, height } = bitmap;
    if (width * height > MAX_PIXELS) {
      const most = MAX_PIXELS.toLocaleString('en');
      throw new VitError('image_too_large', `The image has ${width}×${height} pixels; at most ${most} are supported.`);
    }
    // Pixels that are read back once and never shown belong in main memory, where nothing alters them.
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    if (!context) throw new VitError('browser_too_old', 'This browser has no 2D canvas in a worker.');
    context.drawImage(bitmap, 0, 0);
    return fromImageData(context.getImageData(0, 0, width, height));
  } finally {
    bitmap.close();
  }
}
