/** Reads the files of a TensorFlow.js graph model into what its loader takes, checking that they fit together. */

import { VitError } from '../errors.js';
import { decodePacked, packedBytes, packedShape } from '../packed.js';

/** @typedef {import('@tensorflow/tfjs-core').io.ModelArtifacts} Artifacts */
/**
 * An entry of the manifest, where a weight may be packed in our own way.
 * @typedef {import('@tensorflow/tfjs-core').io.WeightsManifestEntry & {packed?: import('../packed.js').Packed}} Entry
 */

/** Bytes of one stored number. @type {Record<string, number>} */
const STORED_BYTES = { float32: 4, int32: 4, float16: 2, uint16: 2, uint8: 1, bool: 1 };

/**
 * Return the artifacts from `model.json` and its shards, weights as they are stored; raises `bad_model`.
 *
 * The loader takes them after `unpackWeights`.
 * @param {Map<string, Uint8Array<ArrayBuffer>>} files
 * @returns {Artifacts}
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

/**
 * Return artifacts whose weights the loader knows: those packed in our own way become float32; raises `bad_model`.
 * @param {Artifacts} artifacts
 * @returns {Artifacts}
 */
export function unpackWeights(artifacts) {
  const entries = /** @type {Entry[]} */ (artifacts.weightSpecs);
  if (!entries.some(({ packed }) => packed)) return artifacts;
  const all = joined(/** @type {ArrayBuffer[]} */ (artifacts.weightData));
  let offset = 0;
  const weightData = entries.map((entry) => {
    const bytes = all.subarray(offset, (offset += storedBytes(entry)));
    return entry.packed ? decodePacked(entry.name, entry.packed, bytes).buffer : bytes.slice().buffer;
  });
  weightData.push(new ArrayBuffer(0)); // for the same reason as above
  return { ...artifacts, weightSpecs: entries.map(({ packed, ...spec }) => spec), weightData };
}

/** @param {ArrayBuffer[]} shards @returns {Uint8Array<ArrayBuffer>} */
function joined(shards) {
  const all = new Uint8Array(shards.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let offset = 0;
  for (const shard of shards) {
    all.set(new Uint8Array(shard), offset);
    offset += shard.byteLength;
  }
  return all;
}

/** @param {Entry} spec @returns {number} */
function storedBytes({ name, shape, dtype, quantization, packed }) {
  if (packed) {
    const bytes = packedBytes(name, packed);
    const found = packedShape(packed).filter((size) => size !== 1);
    const wanted = Array.isArray(shape) ? shape.filter((size) => size !== 1) : [];
    if (dtype !== 'float32' || quantization || found.join() !== wanted.join())
      throw new VitError('bad_model', `The weight ${name} is ${dtype} [${shape}]; it is packed as [${found}].`);
    return bytes;
  }
  const stored = quantization?.dtype ?? dtype;
  const bytes = STORED_BYTES[stored];
  if (!bytes) throw new VitError('bad_model', `The weight ${name} is stored as ${stored}, which is not supported.`);
  return bytes * shape.reduce((product, size) => product * size, 1);
}
