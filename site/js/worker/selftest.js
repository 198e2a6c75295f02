/**
 * Whether a back end computes what the published model computes: it is run on the model's reference images.
 *
 * The file holds eight tiny images and the float model's outputs for them. A variant of few bits honestly lies off
 * those, so the build has run each variant too and says how far it lies (`max_abs_diff`) and on which images its largest
 * output is the float model's (`agrees`). A back end is rejected when an output is off by more than twice that and 2 % of
 * the outputs' range, or when it agrees on fewer than half of those images. Twice: with activations of 7 bits instead of
 * 8, as some processors have them, the error doubles. 2 %: float16 all through is off by a tenth of a percent.
 */

import { throwIfAborted, VitError } from '../common/errors.js';
import { readSafetensors } from '../common/safetensors.js';
import { fromImageData } from './image/decode.js';
import { preprocess } from './image/preprocess.js';

const OWN_ERROR_FACTOR = 2;
const RANGE_TOLERANCE = 0.02;
const AGREEMENT_FACTOR = 0.5;
/** So many images are run however slow the back end is; others as long as there is time. */
const MIN_IMAGES = 2;
const TIME_BUDGET_MS = 2000;

/**
 * The reference images as raw pixels, and the float model's outputs: row by image, those at `outputs`.
 * @typedef {{images: ImageData[], logits: Float32Array[], outputs: Int32Array | null}} Reference
 *
 * @typedef {object} Options
 * @property {import('../common/site_data.js').Preprocess} preprocess
 * @property {AbortSignal} [signal]
 * @property {() => number} [now] the clock, in ms
 */

/**
 * Read the reference file; raises `bad_model` when it is none.
 * @param {Uint8Array} file
 * @returns {Reference}
 */
export function readReference(file) {
  const { tensors } = readSafetensors(file);
  const images = tensorOf(tensors, 'images', 'U8', 4);
  const logits = tensorOf(tensors, 'logits', 'F16', 2);
  const [count, height, width, channels] = images.shape;
  const [rows, kept] = logits.shape;
  const outputs = tensors.has('outputs') ? tensorOf(tensors, 'outputs', 'I32', 1) : null;
  if (channels !== 3 || rows !== count || count < MIN_IMAGES || (outputs && outputs.shape[0] !== kept))
    throw bad(`images [${images.shape}], logits [${logits.shape}], outputs [${outputs?.shape}]`);
  const size = height * width;
  const values = floats(logits.bytes);
  const numbers = Array.from({ length: count }, (_, index) => index);
  return {
    images: numbers.map((index) => toImageData(images.bytes.subarray(3 * size * index), width, height)),
    logits: numbers.map((index) => values.subarray(kept * index, kept * (index + 1))),
    outputs: outputs && new Int32Array(outputs.bytes.slice().buffer),
  };
}

/**
 * @param {Map<string, import('../common/safetensors.js').Tensor>} tensors
 * @param {string} name
 * @param {string} dtype
 * @param {number} rank
 */
function tensorOf(tensors, name, dtype, rank) {
  const tensor = tensors.get(name);
  if (tensor?.dtype !== dtype || tensor.shape.length !== rank)
    throw bad(`${name} is ${tensor ? `${tensor.dtype} [${tensor.shape}]` : 'missing'}`);
  return tensor;
}

/** Return RGB pixels as a canvas would give them. @param {Uint8Array} rgb @param {number} width @param {number} height */
function toImageData(rgb, width, height) {
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) data[4 * pixel + channel] = rgb[3 * pixel + channel];
  }
  return /** @type {ImageData} */ ({ data, width, height });
}

/** Return float16 values, little-endian, as float32. @param {Uint8Array} bytes @returns {Float32Array} */
function floats(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength / 2 }, (_, index) =>
    float16ToNumber(view.getUint16(2 * index, true)),
  );
}

/** @param {number} bits @returns {number} */
function float16ToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}

/**
 * Run the reference images, at least two and more for two seconds at most, through the page's whole path.
 *
 * Raises what `run` raises, and `aborted`.
 * @param {(values: Float32Array) => Promise<Float32Array>} run
 * @param {Reference} reference
 * @param {import('../common/site_data.js').ExpectedSelfTest} expected
 * @param {Options} options
 * @returns {Promise<import('../common/selftest_result.js').SelfTestResult>}
 */
export async function selfTest(run, { images, logits, outputs }, expected, options) {
  const { signal, now = () => performance.now() } = options;
  const startedAt = now();
  let n = 0;
  let agreement = 0;
  let max_abs_diff = 0;
  for (; n < images.length && (n < MIN_IMAGES || now() - startedAt < TIME_BUDGET_MS); n++) {
    const { pixels, width, height } = fromImageData(images[n]);
    const computed = await run(preprocess(pixels, width, height, options.preprocess));
    throwIfAborted(signal);
    const largest = argmax(logits[n]);
    if (argmax(computed) === (outputs ? outputs[largest] : largest)) agreement++;
    max_abs_diff = Math.max(max_abs_diff, maxAbsDiff(computed, logits[n], outputs));
  }
  const allowed = OWN_ERROR_FACTOR * expected.max_abs_diff + RANGE_TOLERANCE * rangeOf(logits);
  const agreeing = expected.agrees.slice(0, n).filter(Boolean).length;
  const passed = max_abs_diff <= allowed && agreement >= AGREEMENT_FACTOR * agreeing; // NaN passes nothing
  return { n, agreement, max_abs_diff, allowed, passed, ms: now() - startedAt };
}

/** The first of the largest values' places. @param {Float32Array} values @returns {number} */
function argmax(values) {
  return values.reduce((best, value, index) => (value > values[best] ? index : best), 0);
}

/** @param {Float32Array} computed @param {Float32Array} wanted @param {Int32Array | null} outputs @returns {number} */
function maxAbsDiff(computed, wanted, outputs) {
  return wanted.reduce(
    (most, value, index) => Math.max(most, Math.abs(computed[outputs ? outputs[index] : index] - value)),
    0,
  );
}

/** @param {Float32Array[]} rows @returns {number} */
function rangeOf(rows) {
  const largest = Math.max(...rows.map((row) => row.reduce((most, value) => Math.max(most, value), -Infinity)));
  const least = Math.min(...rows.map((row) => row.reduce((most, value) => Math.min(most, value), Infinity)));
  return largest - least;
}

/** @param {string} what */
const bad = (what) => new VitError('bad_model', `The file of reference images is invalid: ${what}.`);
