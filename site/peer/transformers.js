/**
 * transformers.js' own image classification on one page, for the benchmark alone; it is never published.
 *
 * Its documentation's minimal example (`pipeline('image-classification', model)`, then a call with an image's address),
 * on the main thread as there, with what the library chooses by itself. Only where files come from is said: this very
 * server. The query string may hold:
 *
 *   model    a folder under models/                                           (needed)
 *   image    an image to classify as soon as the page is opened               (none)
 *   dtype    fp32 or q8; without it the library's choice for wasm, q8
 *   threads  of ONNX Runtime; without it its own choice, 1 on a page that is not isolated
 *   build    of ONNX Runtime: asyncify (the library's choice in Chromium, with WebGPU inside) or plain (CPU alone, half
 *            the size; the library takes it for older Safari)                  (asyncify)
 *
 * `globalThis.peer` is what the benchmark calls.
 */

import { env, pipeline, RawImage } from '@huggingface/transformers';
import { benchmark } from '../js/common/benchmark.js';

/**
 * @typedef {{label: string, score: number}} ClassScore
 * @typedef {{runs?: number, warmup_max?: number}} Runs
 * @typedef {import('@huggingface/transformers').ImageClassificationPipeline} Pipeline
 */

const query = new URLSearchParams(location.search);
/** File name's suffix of each build. @type {Record<string, string>} */
const BUILDS = { asyncify: '.asyncify', plain: '' };

/** Return a query value, or undefined where it is absent or empty. @param {string} name */
const queryValue = (name) => query.get(name) || undefined;

/** Send every request to this server, and heed the query. */
function setUp() {
  const build = queryValue('build') ?? 'asyncify';
  if (!(build in BUILDS)) throw new Error(`no build ${build}; there are ${Object.keys(BUILDS).join(', ')}`);
  const file = new URL(`ort/ort-wasm-simd-threaded${BUILDS[build]}`, location.href).href;
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  // A path: of a whole address the library would not look for the preprocessing's settings.
  env.localModelPath = new URL('models/', location.href).pathname;
  const wasm = /** @type {NonNullable<import('onnxruntime-common').Env['wasm']>} */ (env.backends.onnx.wasm);
  wasm.wasmPaths = { mjs: `${file}.mjs`, wasm: `${file}.wasm` };
  if (queryValue('threads')) wasm.numThreads = Number(queryValue('threads'));
  return wasm;
}

/** Load the model the query names. @returns {Promise<Pipeline>} */
async function load() {
  const model = queryValue('model');
  if (!model) throw new Error('the address names no model: ?model=NAME');
  const dtype = /** @type {'q8' | 'fp32' | undefined} */ (queryValue('dtype'));
  const classifier = await pipeline('image-classification', model, { device: 'wasm', dtype });
  return /** @type {Pipeline} */ (/** @type {unknown} */ (classifier));
}

const wasm = setUp();
const loading = load();

/** Load, classify the image that the query names, and note when that was done. */
async function start() {
  await loading;
  peer.loaded_ms = performance.now();
  const image = queryValue('image');
  if (!image) return;
  peer.first_prediction = await peer.classify(image);
  peer.first_prediction_ms = performance.now();
  const [{ label, score }] = peer.first_prediction;
  /** @type {HTMLElement} */ (document.getElementById('answer')).textContent = `${label} ${score}`;
}

const peer = {
  /** Milliseconds from the start of navigation until the model could be called, and until the first prediction. */
  loaded_ms: NaN,
  first_prediction_ms: NaN,
  /** @type {ClassScore[]} */
  first_prediction: [],
  /** @type {Promise<void>} settles when the model is loaded and the query's image classified */
  ready: Promise.resolve(),

  /** Threads that ONNX Runtime was given. @returns {number | undefined} */
  get threads() {
    return wasm.numThreads;
  },

  /**
   * Return the five likeliest classes of the image at an address.
   * @param {string} url
   * @returns {Promise<ClassScore[]>}
   */
  async classify(url) {
    const classifier = await loading;
    return /** @type {ClassScore[]} */ (await classifier(new URL(url, location.href).href));
  },

  /**
   * Return the tensor the pipeline makes of the image at an address, `[3, H, W]` in one row.
   * @param {string} url
   * @returns {Promise<number[]>}
   */
  async pixels(url) {
    const { pixel_values } = await prepared(url);
    return Array.from(pixel_values.data);
  },

  /**
   * Return the model's logits for the image at an address.
   * @param {string} url
   * @returns {Promise<number[]>}
   */
  async logits(url) {
    const { model } = await loading;
    const { logits } = await model(await prepared(url));
    return Array.from(logits.data);
  },

  /**
   * Time the model's forward alone and, apart, the pipeline's whole call with an image already fetched: decoding,
   * preprocessing, forward, softmax.
   * @param {Runs & {image: string}} options
   */
  async benchmark({ image, runs, warmup_max }) {
    const classifier = await loading;
    const blob = await (await fetch(new URL(image, location.href))).blob();
    const { pixel_values } = await prepared(image);
    const forward = await benchmark(() => classifier.model({ pixel_values }), { runs, warmup_max });
    const whole = await benchmark(() => classifier(blob), { runs, warmup_max });
    return { forward, whole };
  },

  /** Bytes of everything this page has fetched until now, packed as they came. @returns {number} */
  get bytes() {
    const fetched = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    return fetched.reduce((sum, entry) => sum + /** @type {PerformanceResourceTiming} */ (entry).encodedBodySize, 0);
  },
};

/** Return what the pipeline's own preprocessing makes of an image. @param {string} url */
async function prepared(url) {
  const { processor } = await loading;
  const image = await RawImage.read(new URL(url, location.href).href);
  const { pixel_values } = await /** @type {any} */ (processor)([image]);
  return { pixel_values };
}

Object.assign(globalThis, { peer });
peer.ready = start();
