/**
 * The TensorFlow.js engine: runs a graph model whose files are already here and verified.
 *
 * uint8 and float16 are storage formats in TensorFlow.js, and so are our packed integers: at load every weight becomes
 * float32, and all arithmetic is float32.
 */

import { GraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import { asVitError, throwIfAborted, VitError } from '../errors.js';
import { probeBackends, startBackend } from './tfjs_backends.js';
import { readGraphModel, unpackWeights } from './tfjs_model.js';
import { deactivate } from './tfjs_registry.js';

/** @typedef {import('./index.js').ArtifactBytes} ArtifactBytes */
/** @typedef {import('./index.js').EngineOptions} EngineOptions */
/** @typedef {import('./index.js').Session} Session */

tf.enableProdMode();

/** @type {import('./index.js').Engine} */
export const engine = { name: 'tfjs', backends: probeBackends, load };

/**
 * Return a session of the graph model.
 *
 * Raises `bad_model`, `backend_unavailable`, `no_simd`, `out_of_memory`, `network_lost`, `http_error` or `aborted`.
 * @param {ArtifactBytes} artifact
 * @param {EngineOptions} options
 * @returns {Promise<Session>}
 */
async function load(artifact, options) {
  const begun = performance.now();
  const artifacts = readGraphModel(artifact.files);
  options.onPhase?.('compile');
  const started = await startBackend(options);
  try {
    throwIfAborted(options.signal);
    options.onPhase?.('decode');
    const { model, decode_ms } = await buildModel(artifacts);
    const layout = inputLayout(model);
    const compile_ms = performance.now() - begun - decode_ms;
    return {
      backend: options.backend,
      ...started,
      ...layout.session,
      decode_ms,
      compile_ms,
      ...runner(model, layout, options.backend),
    };
  } catch (error) {
    deactivate(options.backend);
    throw modelError(error);
  }
}

/**
 * Build the model, timing apart how long its weights take to become float32.
 * @param {tf.io.ModelArtifacts} artifacts
 * @returns {Promise<{model: GraphModel, decode_ms: number}>}
 */
async function buildModel(artifacts) {
  const begun = performance.now();
  const unpacked = unpackWeights(artifacts);
  let decode_ms = performance.now() - begun;
  /** @type {typeof tf.io.decodeWeights} */
  const decodeWeights = (data, specs) => {
    const begun = performance.now();
    const weights = tf.io.decodeWeights(data, specs);
    decode_ms += performance.now() - begun;
    return weights;
  };
  const model = new GraphModel({ load: async () => unpacked }, {}, { ...tf.io, decodeWeights });
  await model.load();
  return { model, decode_ms };
}

/** @typedef {{shape: number[], channelsFirst: boolean, session: {input: [number, number, number]}}} InputLayout */

/**
 * Read from the model's signature which shape its one image input has; raises `bad_model`.
 * @param {GraphModel} model
 * @returns {InputLayout}
 */
function inputLayout(model) {
  if (model.inputs.length !== 1 || model.outputs.length !== 1) {
    throw new VitError(
      'bad_model',
      `The model has ${model.inputs.length} inputs and ${model.outputs.length} outputs; one of each is needed.`,
    );
  }
  const [batch, ...image] = model.inputs[0].shape ?? [];
  const channelsFirst = image[0] === 3 && image[2] !== 3;
  const [height, width, channels] = channelsFirst ? [image[1], image[2], image[0]] : image;
  if (image.length !== 3 || channels !== 3 || !(height > 0) || !(width > 0) || (batch !== 1 && batch !== -1)) {
    throw new VitError(
      'bad_model',
      `The model's input is [${model.inputs[0].shape}]; [1, height, width, 3] or [1, 3, height, width] is needed.`,
    );
  }
  return { shape: [1, ...image], channelsFirst, session: { input: [height, width, channels] } };
}

/**
 * @param {GraphModel} model
 * @param {InputLayout} layout
 * @param {string} backend
 * @returns {Pick<Session, 'run' | 'dispose'>}
 */
function runner(model, { shape, channelsFirst, session }, backend) {
  const [height, width, channels] = session.input;
  const size = height * width * channels;
  return {
    run: async (values) => {
      if (values.length !== size)
        throw new VitError('bad_request', `The input has ${values.length} values; the model takes ${size}.`);
      try {
        const input = tf.tensor(channelsFirst ? toChannelsFirst(values, channels) : values, shape, 'float32');
        const output = /** @type {tf.Tensor} */ (model.execute(input));
        input.dispose();
        const logits = await output.data();
        output.dispose();
        return Float32Array.from(logits);
      } catch (error) {
        throw modelError(error);
      }
    },
    dispose: async () => {
      model.dispose();
      deactivate(backend);
    },
  };
}

/**
 * Return HWC values as CHW.
 * @param {Float32Array} values
 * @param {number} channels
 * @returns {Float32Array}
 */
export function toChannelsFirst(values, channels) {
  const pixels = values.length / channels;
  const planes = new Float32Array(values.length);
  for (let channel = 0; channel < channels; channel++) {
    for (let pixel = 0; pixel < pixels; pixel++) planes[channel * pixels + pixel] = values[pixel * channels + channel];
  }
  return planes;
}

/**
 * What TensorFlow.js throws while it builds or runs a model, as `bad_model` unless it is something known.
 * @param {unknown} thrown
 */
function modelError(thrown) {
  const error = asVitError(thrown);
  if (error.code !== 'internal') return error;
  return new VitError('bad_model', `TensorFlow.js cannot run this model: ${error.message}`, { cause: thrown });
}
