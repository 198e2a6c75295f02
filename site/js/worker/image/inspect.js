/**
 * Reads from an image file's own bytes what it is, before any decoder allocates memory for it. Pure: no DOM.
 *
 * Browsers show a truncated picture as far as it goes and say nothing, and take the first frame of an animation; both
 * are found here.
 */

import { VitError } from '../../common/errors.js';
import { READERS } from './formats/headers.js';
import { recognise } from './formats/other_kinds.js';

/** Pictures of more pixels than this are rejected: decoded, they take 4 bytes a pixel, twice. */
export const MAX_PIXELS = 64_000_000;

/** Sides longer than this are rejected: no browser has a canvas for them, and some then give back an empty one. */
export const MAX_SIDE = 65_000;

/** Files of more bytes than this are no picture of that size. */
export const MAX_BYTES = 600_000_000;
/** Of so many bytes a file's first ones say what it is. */
export const HEAD_BYTES = 4096;
/** Formats that browsers themselves show upright. */
const DISPLAYED_TURNED = new Set(['image/jpeg', 'image/avif']);
/** Formats of which a file that ends early can be used nonetheless: see `rewrite.js`. */
const COMPLETED = new Set(['image/jpeg', 'image/png']);

/**
 * @typedef {object} ImageInfo
 * @property {string} type MIME type
 * @property {number} width as stored, before any EXIF orientation
 * @property {number} height
 * @property {number} bits per channel
 * @property {boolean} alpha whether it may have transparent pixels
 * @property {boolean} animated
 * @property {boolean} cmyk
 * @property {boolean} truncated whether the file ends before the picture does
 * @property {{at: number, left: number, top: number, width: number, height: number}} [frame] of a GIF: where the first
 *   one is described in the file, and where it lies on the screen
 */

/**
 * Return what the file is, or null when it is no image of a known kind.
 * @param {Uint8Array} bytes the whole file
 * @returns {ImageInfo | null}
 */
export function sniff(bytes) {
  const reader = READERS.find(({ matches }) => matches(bytes));
  if (!reader) return null;
  const info = {
    type: reader.type,
    width: 0,
    height: 0,
    bits: 8,
    alpha: false,
    animated: false,
    cmyk: false,
    truncated: false,
  };
  try {
    return { ...info, ...reader.read(bytes) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { ...info, truncated: true };
  }
}

/**
 * Return what the file is; raises `empty_file`, `not_an_image`, `image_too_large` or `damaged_image` instead of letting
 * a decoder try.
 * @param {Uint8Array} bytes the whole file
 * @returns {ImageInfo}
 */
export function inspect(bytes) {
  if (bytes.length === 0) throw new VitError('empty_file', 'The file is empty (0 bytes).');
  requireImage(bytes);
  const info = /** @type {ImageInfo} */ (sniff(bytes));
  const { width, height, type, truncated } = info;
  if (width * height > MAX_PIXELS) {
    const megapixels = (width * height) / 1e6; // with all its digits: rounded, it could be the limit itself
    throw new VitError(
      'image_too_large',
      `The image has ${width}×${height} pixels, ${megapixels} megapixels; at most ${MAX_PIXELS / 1e6} are supported.`,
    );
  }
  if (Math.max(width, height) > MAX_SIDE) {
    const most = MAX_SIDE.toLocaleString('en');
    throw new VitError(
      'image_too_large',
      `The image has ${width}×${height} pixels; at most ${most} a side are supported.`,
    );
  }
  if (truncated && !(COMPLETED.has(type) && width > 0))
    throw new VitError('damaged_image', `The ${nameOf(type)} file is truncated.`);
  if (width < 1 || height < 1)
    throw new VitError('damaged_image', `The ${nameOf(type)} file declares a size of ${width}×${height} pixels.`);
  return info;
}

/**
 * What a visitor should know of how the picture was taken.
 * @param {ImageInfo & {missing: number, turned: boolean}} info and the rows that the file lacks, and whether EXIF turned it
 * @returns {string[]}
 */
export function noticesOf({ type, animated, bits, cmyk, truncated, missing, turned }) {
  const notices = [];
  if (animated) notices.push('The image is animated: its first frame was used.');
  if (bits > 8) notices.push(`The image has ${bits} bits per channel: the browser reduced it to 8.`);
  if (cmyk) notices.push('The image is in CMYK: the browser converted it to RGB.');
  if (truncated && missing > 0)
    notices.push(`The ${nameOf(type)} file is truncated: the last ${missing} rows are missing and were taken as grey.`);
  if (truncated && missing === 0) notices.push(`The ${nameOf(type)} file has no end mark: it may be incomplete.`);
  if (turned && !DISPLAYED_TURNED.has(type))
    notices.push('The image was turned upright as its EXIF data says; the browser may show it otherwise.');
  return notices;
}

/** Raises `not_an_image` unless a file's first bytes are those of an image. @param {Uint8Array} bytes */
export function requireImage(bytes) {
  if (READERS.some(({ matches }) => matches(bytes))) return;
  const kind = recognise(bytes);
  if (kind)
    throw new VitError('not_an_image', `The file is ${kind.name}, which is not supported.`, { hint: kind.hint });
  throw new VitError('not_an_image', 'The file is not an image in a supported format.');
}

/** @param {string} type @returns {string} */
export const nameOf = (type) => type.replace('image/', '').toUpperCase();

/**
 * Lay RGBA pixels over white, in place; return whether any was transparent.
 * @param {Uint8ClampedArray} pixels
 * @returns {boolean}
 */
export function overWhite(pixels) {
  let transparent = false;
  for (let index = 3; index < pixels.length; index += 4) {
    const alpha = pixels[index];
    if (alpha === 255) continue;
    transparent = true;
    for (let channel = index - 3; channel < index; channel++)
      pixels[channel] = Math.round((pixels[channel] * alpha) / 255 + 255 - alpha);
    pixels[index] = 255;
  }
  return transparent;
}
