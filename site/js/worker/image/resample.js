/**
 * Pillow's image resampling, bit for bit: a horizontal and a vertical convolution on uint8 with antialiasing.
 *
 * Only the window that will be kept is computed; each output pixel is the same as in a whole resize. The weights are
 * float64, normalised, then rounded to fixed point with 22 fractional bits, and each pass rounds to uint8. That makes
 * the order of the passes visible: see `verticalFirst`.
 */

const PRECISION_BITS = 32 - 8 - 2;
const HALF = 1 << (PRECISION_BITS - 1);

/** @param {number} x @returns {number} */
const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/**
 * The filters: half width in input pixels at scale 1, and the weight at distance x.
 * @type {Record<string, {support: number, weight: (x: number) => number}>}
 */
const FILTERS = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: { support: 1, weight: hamming },
  bicubic: { support: 2, weight: bicubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** Pillow's two constants are float32. @param {number} signed @returns {number} */
function hamming(signed) {
  const x = Math.abs(signed);
  if (x === 0) return 1;
  if (x >= 1) return 0;
  const angle = x * Math.PI;
  return (Math.sin(angle) / angle) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(angle));
}

/** The cubic convolution with a = -0.5. @param {number} signed @returns {number} */
function bicubic(signed) {
  const a = -0.5;
  const x = Math.abs(signed);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** The names of the filters. */
export const INTERPOLATIONS = ['nearest', ...Object.keys(FILTERS)];

/**
 * @typedef {Uint8Array | Uint8ClampedArray} Bytes
 *
 * @typedef {object} Pixels
 * @property {Bytes} data rows of interleaved channels; the first three are used
 * @property {number} width
 * @property {number} height
 * @property {number} channels 3 or 4
 *
 * @typedef {{left: number, top: number, width: number, height: number}} Window
 */

/**
 * Return the window of `image` resized to `width`×`height`, as RGB.
 *
 * The window must lie inside the resized image.
 * @param {Pixels} image
 * @param {{width: number, height: number}} size
 * @param {Window} window
 * @param {string} interpolation one of `INTERPOLATIONS`
 * @returns {Bytes} window.height × window.width × 3
 */
export function resizeWindow(image, size, window, interpolation) {
  if (interpolation === 'nearest') return nearest(image, size, window);
  const filter = FILTERS[interpolation];
  if (!filter)
    throw new RangeError(`There is no interpolation “${interpolation}”; available: ${INTERPOLATIONS.join(', ')}`);
  const columns = taps(image.width, size.width, window.left, window.width, filter);
  const rows = taps(image.height, size.height, window.top, window.height, filter);
  if (verticalFirst(image, size))
    return horizontal(vertical(image, rows, used(columns)), moved(columns), all(window.height)).data;
  return vertical(horizontal(image, columns, used(rows)), moved(rows), all(window.width)).data;
}

/**
 * Whether the height is reduced so much more than the width that Pillow (from 13 on) begins with it.
 * @param {{width: number, height: number}} from
 * @param {{width: number, height: number}} to
 * @returns {boolean}
 */
function verticalFirst(from, to) {
  return to.height < from.height && from.height - to.height > 2 * (from.width - to.width);
}

/**
 * For each output position of one dimension: the first input position, how many, and their fixed-point weights.
 * @typedef {{first: Int32Array, count: Int32Array, weights: Int32Array, stride: number}} Taps
 *
 * A run of rows or columns.
 * @typedef {{start: number, length: number}} Run
 */

/** The input positions that the taps use. @param {Taps} taps @returns {Run} */
function used({ first, count }) {
  const last = first.length - 1;
  return { start: first[0], length: first[last] + count[last] - first[0] };
}

/** The same taps on an input that begins at the first position used. @param {Taps} taps @returns {Taps} */
function moved(taps) {
  return { ...taps, first: taps.first.map((position) => position - taps.first[0]) };
}

/** @param {number} length @returns {Run} */
const all = (length) => ({ start: 0, length });

/**
 * Return the taps of `length` output positions from `start` on, when `inputSize` becomes `outputSize`.
 * @param {number} inputSize
 * @param {number} outputSize
 * @param {number} start
 * @param {number} length
 * @param {{support: number, weight: (x: number) => number}} filter
 * @returns {Taps}
 */
function taps(inputSize, outputSize, start, length, filter) {
  const scale = inputSize / outputSize;
  const filterScale = Math.max(1, scale);
  const support = filter.support * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const result = {
    first: new Int32Array(length),
    count: new Int32Array(length),
    weights: new Int32Array(length * stride),
    stride,
  };
  for (let index = 0; index < length; index++) {
    const center = (start + index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const count = Math.min(inputSize, Math.trunc(center + support + 0.5)) - first;
    result.first[index] = first;
    result.count[index] = count;
    const weights = Array.from({ length: count }, (_, tap) =>
      filter.weight((tap + first - center + 0.5) * (1 / filterScale)),
    );
    let total = 0;
    for (const weight of weights) total += weight;
    for (let tap = 0; tap < count; tap++) {
      const weight = (total === 0 ? weights[tap] : weights[tap] / total) * (1 << PRECISION_BITS);
      result.weights[index * stride + tap] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
  }
  return result;
}

/** @param {number} sum fixed-point @returns {number} 0..255 */
function toByte(sum) {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : Math.min(value, 255);
}

/**
 * Resample a run of rows to the columns of the taps.
 * @param {Pixels} image
 * @param {Taps} columns
 * @param {Run} rows
 * @returns {Pixels}
 */
function horizontal({ data, width, channels }, { first, count, weights, stride }, rows) {
  const output = new Uint8Array(rows.length * first.length * 3);
  for (let row = 0, to = 0; row < rows.length; row++) {
    const line = (rows.start + row) * width;
    for (let column = 0; column < first.length; column++, to += 3) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let from = (line + first[column]) * channels;
      const end = column * stride + count[column];
      for (let tap = column * stride; tap < end; tap++, from += channels) {
        const weight = weights[tap];
        red += data[from] * weight;
        green += data[from + 1] * weight;
        blue += data[from + 2] * weight;
      }
      output[to] = toByte(red);
      output[to + 1] = toByte(green);
      output[to + 2] = toByte(blue);
    }
  }
  return { data: output, width: first.length, height: rows.length, channels: 3 };
}

/**
 * Resample a run of columns to the rows of the taps, an input row at a time.
 * @param {Pixels} image
 * @param {Taps} rows
 * @param {Run} columns
 * @returns {Pixels}
 */
function vertical({ data, width, channels }, { first, count, weights, stride }, columns) {
  const line = columns.length * 3;
  const output = new Uint8Array(first.length * line);
  const sums = new Int32Array(line);
  for (let row = 0; row < first.length; row++) {
    sums.fill(HALF);
    for (let tap = 0; tap < count[row]; tap++) {
      const weight = weights[row * stride + tap];
      let from = ((first[row] + tap) * width + columns.start) * channels;
      for (let to = 0; to < line; to += 3, from += channels) {
        sums[to] += data[from] * weight;
        sums[to + 1] += data[from + 1] * weight;
        sums[to + 2] += data[from + 2] * weight;
      }
    }
    for (let index = 0; index < line; index++) output[row * line + index] = toByte(sums[index]);
  }
  return { data: output, width: columns.length, height: first.length, channels: 3 };
}

/**
 * @param {Pixels} image
 * @param {{width: number, height: number}} size
 * @param {Window} window
 * @returns {Uint8Array}
 */
function nearest({ data, width, height, channels }, size, window) {
  const columns = nearestPositions(width, size.width, window.left, window.width);
  const rows = nearestPositions(height, size.height, window.top, window.height);
  const output = new Uint8Array(window.width * window.height * 3);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * width + column) * channels;
      for (let channel = 0; channel < 3; channel++) output[to++] = data[from + channel];
    }
  }
  return output;
}

/**
 * The positions are found by repeated addition, as Pillow does: its rounding errors decide ties.
 * @param {number} inputSize
 * @param {number} outputSize
 * @param {number} start
 * @param {number} length
 * @returns {number[]}
 */
function nearestPositions(inputSize, outputSize, start, length) {
  const scale = inputSize / outputSize;
  const positions = [];
  let position = scale * 0.5;
  for (let index = 0; index < start + length; index++, position += scale) {
    if (index >= start) positions.push(Math.min(inputSize - 1, Math.trunc(position)));
  }
  return positions;
}
