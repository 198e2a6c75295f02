/** Decodes an image file into pixels, in the worker, with the browser's own decoders. */

import { messageOf, VitError } from '../../common/errors.js';
import { continueJpeg, rowsThere } from './formats/jpeg.js';
import { HEAD_BYTES, inspect, MAX_BYTES, nameOf, noticesOf, overWhite, requireImage } from './inspect.js';
import { turn } from './orientation.js';
import { readPixels, requireUnaltered } from './readback.js';
import { fillRows, requireRows, rewrite } from './rewrite.js';

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
 * Raises `unreadable_file`, `empty_file`, `not_an_image`, `image_too_large`, `damaged_image`, and `altered_pictures`
 * in a browser that gives back other pixels than the picture has.
 * @param {Blob} blob
 * @returns {Promise<DecodedImage>}
 */
export async function decode(blob) {
  const bytes = await readBytes(blob);
  const info = inspect(bytes);
  await requireUnaltered();
  const plain = rewrite(bytes, info);
  const stored = await readPixels(plain.bytes, info.type, plain.canvas);
  const notices = noticesOf({
    ...info,
    missing: await fillMissing(stored, info, plain),
    turned: plain.orientation > 1,
  });
  return fromImageData(turn(stored, plain.orientation), notices);
}

/**
 * Return raw pixels as a picture; transparent ones are put on white.
 * @param {Pick<ImageData, 'width' | 'height'> & {data: ArrayLike<number>}} imageData
 * @param {string[]} [notices]
 * @returns {DecodedImage}
 */
export function fromImageData({ data, width, height }, notices = []) {
  const pixels = /** @type {Uint8ClampedArray} */ (data);
  return { pixels, width, height, notices: overWhite(pixels) ? [...notices, ON_WHITE] : notices };
}

/**
 * Return a file's bytes; what its first ones show to be no image is not read to its end.
 * @param {Blob} blob
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function readBytes(blob) {
  try {
    if (blob.size > HEAD_BYTES) requireImage(new Uint8Array(await blob.slice(0, HEAD_BYTES).arrayBuffer()));
    if (blob.size > MAX_BYTES)
      throw new VitError(
        'image_too_large',
        `The file has ${blob.size / 1e6} megabytes; at most ${MAX_BYTES / 1e6} are supported.`,
      );
    return new Uint8Array(await blob.arrayBuffer());
  } catch (cause) {
    if (cause instanceof VitError) throw cause;
    throw new VitError('unreadable_file', `The browser can no longer read the file: ${messageOf(cause)}`, { cause });
  }
}

/**
 * Make the rows that a file lacks grey, and return how many they are; raises `damaged_image` when they are too many.
 * @param {import('./orientation.js').Pixels} stored
 * @param {import('./inspect.js').ImageInfo} info
 * @param {import('./rewrite.js').PlainFile} plain
 * @returns {Promise<number>}
 */
async function fillMissing(stored, { type, truncated, cmyk }, { bytes, rows }) {
  if (!truncated) return 0;
  const probe = () => readPixels(continueJpeg(bytes, stored.width), type).catch(() => null);
  const there = rows ?? (await rowsThere(stored, cmyk, probe));
  requireRows(nameOf(type), there, stored.height);
  fillRows(stored, there);
  return stored.height - there;
}
