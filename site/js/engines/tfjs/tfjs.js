/**
 * The TensorFlow.js engine: runs a graph model whose files are already here and verified.
 *
 * uint8 and float16 are storage formats in TensorFlow.js, and so are our packed integers: at load every weight becomes
 * float32, and all arithmetic is float32.
 */

import { GraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import { asVitError, throwIfAborted, VitError } from '../../common/errors.js';
import { arrange, readLayout } from '../layout.js';
import { probeBackends, startBackend } from './backends.js';
import { buildFor, readGraphModel, shareWeights, unpackWeights } from './model.js';
import { deactivate } from './registry.js';

/** @typedef {import('../index.js').ArtifactBytes} ArtifactBytes */
/** @typedef {import('../index.js').EngineOptions} EngineOptions */
/** @typedef {import('../index.js').Session} Session */

tf.enableProdMode();

/** @type {import('../index.js').Engine} */
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
  const startedAt = performance.now();
  const build = options.build ?? buildFor(artifact.files, options.backend);
  const { artifacts, sharing } = readGraphModel(artifact.files, build);
  options.onPhase?.('compile');
  const started = await startBackend(options);
  try {
    throwIfAborted(options.signal);
    options.onPhase?.('decode');
    const { model, decode_ms } = await buildModel(artifacts, sharing);
    const layout = readLayout({
      inputs: model.inputs.length,
      outputs: model.outputs.length,
      shape: model.inputs[0]?.shape ?? [],
    });
    const compile_ms = performance.now() - startedAt - decode_ms;
    return {
      backend: options.backend,
      ...started,
      build: sharing ? build : undefined, // what every back end runs is not worth a word
      input: layout.input,
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
 * @param {import('./model.js').Sharing | null} sharing
 * @returns {Promise<{model: GraphModel, decode_ms: number}>}
 */
async function buildModel(artifacts, sharing) {
  const startedAt = performance.now();
  const unpacked = unpackWeights(artifacts);
  let decode_ms = performance.now() - startedAt;
  /** @type {typeof tf.io.decodeWeights} */
  const decodeWeights = (data, specs) => {
    const startedAt = performance.now();
    const stored = tf.io.decodeWeights(data, specs);
    const weights = sharing ? shareWeights(stored, sharing) : stored;
    decode_ms += performance.now() - startedAt;
    return weights;
  };
  const model = new GraphModel({ load: async () => unpacked }, {}, { ...tf.io, decodeWeights });
  await model.load();
  return { model, decode_ms };
}

/**
 * @param {GraphModel} model
 * @param {import('../layout.js').InputLayout} layout
 * @param {string} backend
 * @returns {Pick<Session, 'run' | 'dispose'>}
 */
function runner(model, layout, backend) {
  return {
    run: async (values) => {
      const arranged = arrange(values, layout);
      try {
        const input = tf.tensor(arranged, layout.shape, 'float32');
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
 * What TensorFlow.js throws while it builds or runs a model, as `bad_model` unless it is something known.
 * @param {unknown} thrown
 */
function modelError(thrown) {
  const error = asVitError(thrown);
  if (error.code !== 'internal') return error;
  return new VitError('bad_model', `TensorFlow.js cannot run this model: ${error.message}`, { cause: thrown });
}
