/** Pictures of whatever kind: a file, raw pixels, or a bitmap that the browser has decoded or drawn already. */

import { VitError } from '../../common/errors.js';
import { decode, fromImageData } from './decode.js';
import { MAX_PIXELS } from './inspect.js';
import { pixelsOf, requireUnaltered } from './readback.js';

/** @typedef {import('./decode.js').DecodedImage} DecodedImage */

/**
 * Return a picture; raises what `decode` raises.
 * @param {import('../../common/protocol.js').Image} image
 * @returns {Promise<DecodedImage>}
 */
export async function readImage(image) {
  if (image instanceof Blob) return decode(image);
  return 'data' in image ? fromImageData(image) : fromBitmap(image);
}

/**
 * Return a bitmap as a picture, on white, and close it; raises `image_too_large` and `altered_pictures`.
 * @param {ImageBitmap} bitmap
 * @returns {Promise<DecodedImage>}
 */
async function fromBitmap(bitmap) {
  try {
    const { width, height } = bitmap;
    if (width * height > MAX_PIXELS) {
      const most = MAX_PIXELS.toLocaleString('en');
      throw new VitError('image_too_large', `The image has ${width}×${height} pixels; at most ${most} are supported.`);
    }
    await requireUnaltered();
    return fromImageData(pixelsOf(bitmap));
  } finally {
    bitmap.close();
  }
}
