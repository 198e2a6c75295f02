/**
 * Reads from an image file's own bytes what it is, before any decoder allocates memory for it. Pure: no DOM.
 *
 * Browsers decode a truncated picture as far as it goes and say nothing, and take the first frame of an animation; both
 * are found here.
 */

import { VitError } from '../../shared/errors.js';
import { READERS } from './formats.js';

/** Pictures of more pixels than this are rejected: decoded, they take 4 bytes a pixel, twice. */
export const MAX_PIXELS = 64_000_000;

/**
 * Kinds of file that people try and no browser decodes everywhere.
 * @type {{name: string, test: (text: string) => boolean, hint: string}[]}
 */
const UNSUPPORTED = [
  {
    name: 'a HEIC photo',
    test: (text) => /^.{4}ftyp(hei|hev|mif1)/s.test(text),
    hint: 'Save or share it as JPEG first.',
  },
  { name: 'a TIFF image', test: (text) => /^(II\*\0|MM\0\*)/.test(text), hint: 'Save it as PNG or JPEG first.' },
  {
    name: 'an SVG drawing',
    test: (text) => /^\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<svg/s.test(text),
    hint: 'Save it as PNG first.',
  },
  { name: 'a PDF document', test: (text) => text.startsWith('%PDF'), hint: 'Save the page as PNG first.' },
  {
    name: 'a web page',
    test: (text) => /^\s*<(!doctype html|html)/i.test(text),
    hint: 'Save the image itself, not the page it is on.',
  },
];

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
  const info = sniff(bytes);
  if (!info) throw notAnImage(bytes);
  const { width, height, type, truncated } = info;
  if (width * height > MAX_PIXELS) {
    const megapixels = Math.round((width * height) / 1e6);
    throw new VitError(
      'image_too_large',
      `The image has ${width}×${height} pixels, ${megapixels} megapixels; at most ${MAX_PIXELS / 1e6} are supported.`,
    );
  }
  if (truncated) throw new VitError('damaged_image', `The ${nameOf(type)} file is truncated.`);
  if (width < 1 || height < 1)
    throw new VitError('damaged_image', `The ${nameOf(type)} file declares a size of ${width}×${height} pixels.`);
  return info;
}

/** What a visitor should know of how the picture was taken. @param {ImageInfo} info @returns {string[]} */
export function noticesOf({ animated, bits, cmyk }) {
  const notices = [];
  if (animated) notices.push('The image is animated: its first frame was used.');
  if (bits > 8) notices.push(`The image has ${bits} bits per channel: the browser reduced it to 8.`);
  if (cmyk) notices.push('The image is in CMYK: the browser converted it to RGB.');
  return notices;
}

/** @param {Uint8Array} bytes @returns {VitError} */
function notAnImage(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 512));
  const kind = UNSUPPORTED.find(({ test }) => test(text));
  if (kind)
    return new VitError('not_an_image', `The file is ${kind.name}, which is not supported.`, { hint: kind.hint });
  return new VitError('not_an_image', 'The file is not an image in a supported format.');
}

/** @param {string} type @returns {string} */
const nameOf = (type) => type.replace('image/', '').toUpperCase();

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
