/**
 * From an image's pixels to the model's input: timm's evaluation transform, bit for bit.
 *
 * The arithmetic is that of timm.data.transforms_factory.transforms_imagenet_eval with torchvision's Resize and
 * CenterCrop on Pillow images. Pure: no DOM, no engine.
 */

import { VitError } from '../../common/errors.js';
import { resizeWindow } from './resample.js';

/** @typedef {import('../../common/site_data.js').Preprocess} Preprocess */
/** @typedef {{width: number, height: number}} Size */
/** @typedef {import('./resample.js').Bytes} Bytes */

/** Python's round: halves go to the even neighbour. @param {number} x @returns {number} */
function roundHalfEven(x) {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * The size an image is resized to before the crop, by crop mode.
 * @type {Record<string, (image: Size, target: number) => Size>}
 */
const RESIZED = {
  center: ({ width, height }, target) => {
    const long = Math.trunc((target * Math.max(width, height)) / Math.min(width, height));
    return width <= height ? { width: target, height: long } : { width: long, height: target };
  },
  squash: (_, target) => ({ width: target, height: target }),
  border: ({ width, height }, target) => {
    const ratio = Math.max(height / target, width / target);
    return { width: roundHalfEven(width / ratio), height: roundHalfEven(height / ratio) };
  },
};

/**
 * Where one dimension of the crop lies: `from` in the resized image, `length` of it, put `at` in the crop.
 * @param {number} resized
 * @param {number} size
 * @param {Preprocess['crop_rounding']} rounding
 * @returns {{from: number, length: number, at: number}}
 */
function centre(resized, size, rounding) {
  if (resized < size) return { from: 0, length: resized, at: Math.floor((size - resized) / 2) };
  const half = (resized - size) / 2;
  return { from: rounding === 'down' ? Math.floor(half) : roundHalfEven(half), length: size, at: 0 };
}

/**
 * Return the resized and cropped image, before normalisation.
 *
 * Raises `image_too_thin` when a side would vanish.
 * @param {Bytes} pixels RGB or RGBA, rows of interleaved channels; alpha is ignored
 * @param {number} width
 * @param {number} height
 * @param {Preprocess} preprocess
 * @returns {Bytes} size × size × 3
 */
export function resizeAndCrop(pixels, width, height, preprocess) {
  const { size, crop_pct, crop_mode, interpolation, mean, crop_rounding } = preprocess;
  const channels = pixels.length / (width * height);
  if (channels !== 3 && channels !== 4) {
    throw new VitError('bad_request', `${pixels.length} bytes are no RGB or RGBA image of ${width}×${height} pixels.`);
  }
  const resizedSize = RESIZED[crop_mode];
  if (!resizedSize)
    throw new VitError(
      'bad_model',
      `There is no crop mode “${crop_mode}”; available: ${Object.keys(RESIZED).join(', ')}.`,
    );
  const resized = resizedSize({ width, height }, Math.floor(size / crop_pct));
  if (resized.width < 1 || resized.height < 1) {
    throw new VitError(
      'image_too_thin',
      `The image is ${width}×${height} pixels: too long and thin to be scaled to the model's size.`,
    );
  }
  const column = centre(resized.width, size, crop_rounding);
  const row = centre(resized.height, size, crop_rounding);
  const window = { left: column.from, top: row.from, width: column.length, height: row.length };
  const inner = resizeWindow({ data: pixels, width, height, channels }, resized, window, interpolation);
  if (inner.length === size * size * 3) return inner;
  const fill = crop_mode === 'border' ? mean.map((value) => roundHalfEven(255 * value)) : [0, 0, 0];
  return pad(inner, window, { left: column.at, top: row.at }, size, fill);
}

/**
 * @param {Bytes} inner
 * @param {Size} innerSize
 * @param {{left: number, top: number}} at
 * @param {number} size
 * @param {number[]} fill
 * @returns {Uint8Array}
 */
function pad(inner, innerSize, at, size, fill) {
  const output = new Uint8Array(size * size * 3);
  for (let index = 0; index < output.length; index++) output[index] = fill[index % 3];
  for (let row = 0; row < innerSize.height; row++) {
    const line = inner.subarray(row * innerSize.width * 3, (row + 1) * innerSize.width * 3);
    output.set(line, ((at.top + row) * size + at.left) * 3);
  }
  return output;
}

/**
 * Return uint8 RGB values as the model's float32 input: value / 255, less the mean, over the standard deviation.
 *
 * Each step is rounded to float32, as torch does.
 * @param {Bytes} rgb
 * @param {Pick<Preprocess, 'mean' | 'std'>} preprocess
 * @returns {Float32Array} same length, HWC
 */
export function normalise(rgb, { mean, std }) {
  const tables = mean.map((value, channel) =>
    Float32Array.from(
      { length: 256 },
      (_, byte) => Math.fround(Math.fround(byte / 255) - Math.fround(value)) / Math.fround(std[channel]),
    ),
  );
  const output = new Float32Array(rgb.length);
  for (let index = 0; index < rgb.length; index++) output[index] = tables[index % 3][rgb[index]];
  return output;
}

/**
 * Return the model's input for an image: resized, cropped, normalised.
 * @param {Bytes} pixels RGB or RGBA
 * @param {number} width
 * @param {number} height
 * @param {Preprocess} preprocess
 * @returns {Float32Array} size × size × 3, HWC
 */
export function preprocess(pixels, width, height, preprocess) {
  return normalise(resizeAndCrop(pixels, width, height, preprocess), preprocess);
}
