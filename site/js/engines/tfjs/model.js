/** Reads the files of a TensorFlow.js graph model into what its loader takes, checking that they fit together. */

import * as tf from '@tensorflow/tfjs-core';
import { VitError } from '../../common/errors.js';
import { decodePacked, packedBytes, packedShape } from './packed.js';

/** @typedef {tf.io.ModelArtifacts} Artifacts */
/**
 * An entry of the manifest, where a weight may be packed in our own way.
 * @typedef {tf.io.WeightsManifestEntry & {packed?: import('./packed.js').Packed}} Entry
 */

/** Bytes of one stored number. @type {Record<string, number>} */
const STORED_BYTES = { float32: 4, int32: 4, float16: 2, uint16: 2, uint8: 1, bool: 1 };

/**
 * The constants of the graph for GPUs: the names of its own, and those that consist of constants of the other graph,
 * side by side along the last axis.
 * @typedef {{own: string[], shared: {name: string, of: string[]}[]}} Sharing
 */

/** The graphs of a variant, by whose they are; that for GPUs, if there is one, takes its weights from the other. */
const GRAPHS = { cpu: 'model.json', gpu: 'model_gpu.json' };

/**
 * Return which graph of a variant a back end runs.
 * @param {Map<string, Uint8Array<ArrayBuffer>>} files
 * @param {string} backend
 * @returns {'cpu' | 'gpu'}
 */
export const buildFor = (files, backend) =>
  (backend === 'webgl' || backend === 'webgpu') && files.has(GRAPHS.gpu) ? 'gpu' : 'cpu';

/**
 * Return the artifacts from a graph and its shards, weights as they are stored; raises `bad_model`.
 *
 * The loader takes them after `unpackWeights`, and with `sharing` the weights after `shareWeights`.
 * @param {Map<string, Uint8Array<ArrayBuffer>>} files
 * @param {string} build
 * @returns {{artifacts: Artifacts, sharing: Sharing | null}}
 */
export function readGraphModel(files, build) {
  if (build !== 'cpu' && build !== 'gpu') {
    const known = Object.keys(GRAPHS).join(', ');
    throw new VitError('bad_request', `TensorFlow.js has no build “${build}”; it has: ${known}.`);
  }
  const model = readJson(files, GRAPHS[build]);
  const models = build === 'gpu' ? [readJson(files, GRAPHS.cpu), model] : [model];
  const groups = models.flatMap(({ weightsManifest }) => weightsManifest);
  const weightSpecs = groups.flatMap(({ weights }) => weights);
  const weightData = groups.flatMap(({ paths }) => paths.map((path) => shard(files, path)));
  const stored = weightData.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const expected = weightSpecs.reduce((sum, spec) => sum + storedBytes(spec), 0);
  if (stored !== expected) {
    throw new VitError('bad_model', `The weight files have ${stored} bytes; the manifest describes ${expected}.`);
  }
  // TensorFlow.js takes shards to be of one size when only the last differs, and reads zeros from a longer last one.
  weightData.push(new ArrayBuffer(0));
  const { modelTopology, format, signature, userDefinedMetadata, modelInitializer, initializerSignature } = model;
  const artifacts = {
    modelTopology,
    format,
    signature,
    userDefinedMetadata,
    modelInitializer,
    initializerSignature,
    weightSpecs,
    weightData,
  };
  const own = model.weightsManifest.flatMap(({ weights }) => weights.map(({ name }) => name));
  return { artifacts, sharing: build === 'gpu' ? { own, shared: model.shared ?? [] } : null };
}

/**
 * @param {Map<string, Uint8Array<ArrayBuffer>>} files
 * @param {string} name
 * @returns {tf.io.ModelJSON & {shared?: Sharing['shared']}}
 */
function readJson(files, name) {
  const bytes = files.get(name);
  if (!bytes) throw new VitError('bad_model', `The variant has no ${name}; it has: ${[...files.keys()].join(', ')}.`);
  const model = parsed(bytes, name);
  if (model.format !== 'graph-model' || !model.modelTopology || !Array.isArray(model.weightsManifest)) {
    throw new VitError(
      'bad_model',
      `${name} has the format “${model.format}”; a “graph-model” with its weights is needed.`,
    );
  }
  return model;
}

/** @param {Uint8Array<ArrayBuffer>} bytes @param {string} name */
function parsed(bytes, name) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new VitError('bad_model', `${name} is not JSON.`, { cause });
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
    const bytes = all.subarray(offset, offset + storedBytes(entry));
    offset += bytes.length;
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
      throw new VitError('bad_model', `The weight ${name} is ${dtype} [${shape}], but it is packed as [${found}].`);
    return bytes;
  }
  const stored = quantization?.dtype ?? dtype;
  const bytes = STORED_BYTES[stored];
  if (!bytes) throw new VitError('bad_model', `The weight ${name} is stored as ${stored}, which is not supported.`);
  return bytes * shape.reduce((product, size) => product * size, 1);
}

/**
 * Return the weights of a graph that shares some with another, and free those that it has no use for.
 *
 * Raises `bad_model` for one that consists of what is not there.
 * @param {tf.NamedTensorMap} weights of both graphs
 * @param {Sharing} sharing
 * @returns {tf.NamedTensorMap}
 */
export function shareWeights(weights, { own, shared }) {
  /** @param {string} name */
  const part = (name) => {
    if (weights[name]) return weights[name];
    throw new VitError('bad_model', `${GRAPHS.gpu} takes ${name} from ${GRAPHS.cpu}, which lacks it.`);
  };
  const put = shared.map(({ name, of }) => [name, of.length === 1 ? part(of[0]) : tf.concat(of.map(part), -1)]);
  /** @type {tf.NamedTensorMap} */
  const result = Object.fromEntries([...own.map((name) => [name, part(name)]), ...put]);
  const used = new Set(Object.values(result));
  for (const weight of Object.values(weights)) if (!used.has(weight)) weight.dispose();
  return result;
}
