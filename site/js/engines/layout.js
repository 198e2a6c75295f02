/** How a model wants its one image: height, width and channels in which order. */

import { VitError } from '../common/errors.js';

/** @typedef {{shape: number[], channelsFirst: boolean, input: [number, number, number]}} InputLayout */

/**
 * Read the layout from what a model says of its inputs and outputs; raises `bad_model` for any but one image.
 * @param {{inputs: number, outputs: number, shape: ArrayLike<number | string>}} model the shape is of the first input
 * @returns {InputLayout}
 */
export function readLayout({ inputs, outputs, shape }) {
  if (inputs !== 1 || outputs !== 1) {
    throw new VitError('bad_model', `The model has ${inputs} inputs and ${outputs} outputs; expected one of each.`);
  }
  const [batch, ...image] = Array.from(shape, Number);
  const channelsFirst = image[0] === 3 && image[2] !== 3;
  const [height, width, channels] = channelsFirst ? [image[1], image[2], image[0]] : image;
  if (image.length !== 3 || channels !== 3 || !(height > 0) || !(width > 0) || (batch !== 1 && batch !== -1)) {
    throw new VitError(
      'bad_model',
      `The model's input is [${Array.from(shape)}]; expected [1, height, width, 3] or [1, 3, height, width].`,
    );
  }
  return { shape: [1, ...image], channelsFirst, input: [height, width, channels] };
}

/**
 * Return normalised HWC values in the model's own order; raises `bad_request` when their number is wrong.
 * @param {Float32Array} values
 * @param {InputLayout} layout
 * @returns {Float32Array}
 */
export function arrange(values, { channelsFirst, input: [height, width, channels] }) {
  const size = height * width * channels;
  if (values.length !== size)
    throw new VitError('bad_request', `The input has ${values.length} values; the model takes ${size}.`);
  return channelsFirst ? toChannelsFirst(values, channels) : values;
}

/** @param {Float32Array} values @param {number} channels @returns {Float32Array} HWC values as CHW */
function toChannelsFirst(values, channels) {
  const pixels = values.length / channels;
  const planes = new Float32Array(values.length);
  for (let channel = 0; channel < channels; channel++) {
    for (let pixel = 0; pixel < pixels; pixel++) planes[channel * pixels + pixel] = values[pixel * channels + channel];
  }
  return planes;
}
