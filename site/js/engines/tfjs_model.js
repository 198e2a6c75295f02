/** Reads the files of a TensorFlow.js graph model into what its loader takes, checking that they fit together. */

import { VitError } from '../errors.js';

/** Bytes of one stored number. @type {Record<string, number>} */
const STORED_BYTES = { float32: 4, int32: 4, float16: 2, uint16: 2, uint8: 1, bool: 1 };

/**
 * Return the loader's artifacts from `model.json` and its shards; raises `bad_model`.
 * @param {Map<string, Uint8Array<ArrayBuffer>>} files
 * @returns {import('@tensorflow/tfjs-core').io.ModelArtifacts}
 */
export function readGraphModel(files) {
  const model = readJson(files);
  if (model.format !== 'graph-model' || !model.modelTopology || !Array.isArray(model.weightsManifest)) {
    throw new VitError(
      'bad_model',
      `model.json has the format “${model.format}”; a “graph-model” with its weights is needed.`,
    );
  }
  const weightSpecs = model.weightsManifest.flatMap(({ weights }) => weights);
  const weightData = model.weightsManifest.flatMap(({ paths }) => paths.map((path) => shard(files, path)));
  const stored = weightData.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const expected = weightSpecs.reduce((sum, spec) => sum + storedBytes(spec), 0);
  if (stored !== expected) {
    throw new VitError('bad_model', `The weight files hold ${stored} bytes where model.json describes ${expected}.`);
  }
  // TensorFlow.js takes shards to be of one size when only the last differs, and reads zeros from a longer last one.
  weightData.push(new ArrayBuffer(0));
  const { modelTopology, format, signature, userDefinedMetadata, modelInitializer, initializerSignature } = model;
  return {
    modelTopology,
    format,
    signature,
    userDefinedMetadata,
    modelInitializer,
    initializerSignature,
    weightSpecs,
    weightData,
  };
}

/**
 * @param {Map<string, Uint8Array<ArrayBuffer>>} files
 * @returns {import('@tensorflow/tfjs-core').io.ModelJSON}
 */
function readJson(files) {
  const bytes = files.get('model.json');
  if (!bytes)
    throw new VitError('bad_model', `The variant has no model.json; it has: ${[...files.keys()].join(', ')}.`);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new VitError('bad_model', 'model.json is not JSON.', { cause });
  }
}

/**
 * @param {Map<string, Uint8Array<ArrayBuffer>>} files
 * @param {string} path
 * @returns {ArrayBuffer}
 */
function shard(files, path) {
  const bytes = files.get(path);
  if (!bytes) throw new VitError('bad_model', `The variant lacks the weight file ${path}.`);
  return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

/** @param {import('@tensorflow/tfjs-core').io.WeightsManifestEntry} spec @returns {number} */
function storedBytes({ name, shape, dtype, quantization }) {
  const stored = quantization?.dtype ?? dtype;
  const bytes = STORED_BYTES[stored];
  if (!bytes) throw new VitError('bad_model', `The weight ${name} is stored as ${stored}, which is not supported.`);
  return bytes * shape.reduce((product, size) => product * size, 1);
}
