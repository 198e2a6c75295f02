/** The model that is loaded, and what can be done with it. */

import { benchmark } from '../common/benchmark.js';
import { asVitError, throwIfAborted, VitError } from '../common/errors.js';
import { requirePassed } from '../common/selftest_result.js';
import { FileCache } from './cache.js';
import { readImage } from './image/bitmap.js';
import { preprocess } from './image/preprocess.js';
import { interpret } from './postprocess.js';
import { readReference, selfTest } from './selftest.js';

/**
 * @typedef {import('../common/protocol.js').LoadRequest} LoadRequest
 * @typedef {import('../common/protocol.js').LoadProgress} LoadProgress
 * @typedef {import('../engines/index.js').Session} Session
 * @typedef {import('../common/protocol.js').Image} Image
 * @typedef {{session: Session, model: LoadRequest['model'], lastInput: Float32Array}} Current
 */

/** Holds at most one session; its methods must not overlap. */
export class Runtime {
  cache = new FileCache();
  /** Folder of the engines' .wasm files. @type {string | undefined} */
  wasmPath;
  /** @type {import('../common/benchmark.js').Visibility} */
  #visibility = { hidden: false, changes: 0 };
  /** @type {Current | null} */
  #current = null;
  /** What was tested and passed, by engine, variant, back end, threads and build. @type {Map<string, import('../common/selftest_result.js').SelfTestResult>} */
  #tested = new Map();

  /** @param {(name: string) => Promise<import('../engines/index.js').Engine>} openEngine of those that there are */
  constructor(openEngine) {
    this.openEngine = openEngine;
  }

  /** @param {boolean} hidden */
  setHidden(hidden) {
    if (hidden === this.#visibility.hidden) return;
    this.#visibility.hidden = hidden;
    this.#visibility.changes++;
  }

  /**
   * Download, verify, decode, compile, run once and test. The old session lives until the new one's files are here.
   *
   * Raises what `FileCache.fetch` and the engine's `load` raise, and `wrong_result` for a back end that fails the test.
   * @param {LoadRequest} request
   * @param {{signal: AbortSignal, onProgress: (progress: LoadProgress) => void}} context
   * @returns {Promise<import('../common/protocol.js').Loaded>}
   */
  async load({ model, variant, backend, base, threads, batch, build }, { signal, onProgress }) {
    const startedAt = performance.now();
    /** @param {LoadProgress['phase']} phase */
    const enter = (phase) => onProgress({ phase, loaded: variant.bytes, total: variant.bytes });
    const [engine, { files, from_cache, notices }] = await Promise.all([
      this.openEngine(variant.engine),
      this.cache.fetch(new URL(variant.folder, base).href, variant.files, {
        site: base,
        signal,
        onProgress: (loaded, total) => onProgress({ phase: 'download', loaded, total }),
      }),
    ]);
    const download_ms = performance.now() - startedAt;
    await this.unload();
    const reference = this.cache.fetch(new URL(model.selftest.folder, base).href, [model.selftest], {
      site: base,
      signal,
    });
    reference.catch(() => {}); // it is awaited below, unless the engine fails first
    const options = { backend, threads, batch, build, signal, wasmPath: this.wasmPath, onPhase: enter };
    const session = await engine.load({ files }, options);
    enter('first_run');
    try {
      const { lastInput, first_run_ms } = await firstRun(session, model);
      throwIfAborted(signal);
      enter('selftest');
      const fetched = await reference;
      const selftest = await this.#test(session, { model, variant }, fetched.files, signal);
      this.#current = { session, model, lastInput };
      const { decode_ms, compile_ms, threads_reason, build } = session;
      const cold = { download_ms, decode_ms, compile_ms, first_run_ms };
      return {
        backend: session.backend,
        threads: session.threads,
        threads_reason,
        build,
        cold,
        selftest,
        from_cache: from_cache && fetched.from_cache,
        bytes: variant.bytes,
        notices: [...new Set([...notices, ...fetched.notices])],
      };
    } catch (error) {
      await session.dispose();
      throw error;
    }
  }

  /**
   * Compare the session with the reference images; what has passed is not tested again while the page is open.
   * @param {Session} session
   * @param {Pick<LoadRequest, 'model' | 'variant'>} what
   * @param {Map<string, Uint8Array>} files
   * @param {AbortSignal} signal
   * @returns {Promise<import('../common/selftest_result.js').SelfTestResult>}
   */
  async #test(session, { model, variant }, files, signal) {
    const { engine, sha256 } = variant;
    const key = [engine, sha256, model.selftest.sha256, session.backend, session.threads, session.build].join(' ');
    const passed = this.#tested.get(key);
    if (passed) return passed;
    const reference = readReference(/** @type {Uint8Array} */ (files.get(model.selftest.path)));
    /** @param {Float32Array} values */
    const run = async (values) => requireFinite(await session.run(values), session);
    const result = await selfTest(run, reference, variant.selftest, { preprocess: model.preprocess, signal });
    requirePassed(result, session.backend);
    this.#tested.set(key, result);
    return result;
  }

  /** Free the session, if there is one. */
  async unload() {
    const session = this.#current?.session;
    this.#current = null;
    await session?.dispose();
  }

  /**
   * Classify one image; raises what `decode` raises.
   * @param {Image} image
   * @param {{topk?: number, signal: AbortSignal}} options
   * @returns {Promise<import('../common/protocol.js').Classification>}
   */
  async classify(image, { topk = 5, signal }) {
    const current = this.#loaded();
    const { session, model } = current;
    const startedAt = performance.now();
    const { values, width, height, notices } = await prepare(image, model, signal);
    current.lastInput = values;
    const ready = performance.now();
    const logits = requireFinite(await session.run(current.lastInput), session);
    const inference_ms = performance.now() - ready;
    const preprocess_ms = ready - startedAt;
    return { ...interpret(logits, topk, model), logits, width, height, notices, preprocess_ms, inference_ms };
  }

  /**
   * Classify images, through the model at once where the engine can; raises what `decode` raises, naming the image.
   * @param {Image[]} images
   * @param {{topk?: number, signal: AbortSignal}} options
   * @returns {Promise<import('../common/protocol.js').Prediction[]>}
   */
  async classifyAll(images, { topk = 5, signal }) {
    const { session, model } = this.#loaded();
    const inputs = [];
    for (const [number, image] of images.entries()) {
      const { values } = await prepare(image, model, signal).catch((cause) => {
        const { code, message, hint } = asVitError(cause);
        throw new VitError(code, `Image ${number + 1}: ${message}`, { hint, cause });
      });
      inputs.push(values);
    }
    const all = session.runAll ? await session.runAll(inputs) : await runSequentially(inputs, session);
    const outputs = all.map((logits) => requireFinite(logits, session));
    return outputs.map((logits) => ({ ...interpret(logits, topk, model), logits }));
  }

  /**
   * Time the model on the last image, or on zeros before there was one; raises what `benchmark` raises.
   * @param {import('../common/benchmark.js').BenchmarkOptions} options
   * @returns {Promise<import('../common/protocol.js').BenchmarkResult>}
   */
  async benchmark(options) {
    const { session, lastInput } = this.#loaded();
    const settled = () => session.settled !== false;
    const result = await benchmark(() => session.run(lastInput), { ...options, settled, visibility: this.#visibility });
    return { ...result, threads: session.threads, threads_reason: session.threads_reason };
  }

  /** @returns {Current} */
  #loaded() {
    if (!this.#current) throw new VitError('not_loaded', 'No model is loaded.');
    return this.#current;
  }
}

/**
 * Run the session on zeros, and check that it fits the model.
 * @param {Session} session
 * @param {LoadRequest['model']} model
 * @returns {Promise<{lastInput: Float32Array, first_run_ms: number}>}
 */
async function firstRun(session, model) {
  const [height, width, channels] = session.input;
  const { size } = model.preprocess;
  if (height !== size || width !== size) {
    throw new VitError(
      'bad_model',
      `The model takes ${width}×${height} pixels, but its preprocessing yields ${size}×${size}.`,
    );
  }
  const lastInput = new Float32Array(height * width * channels);
  const startedAt = performance.now();
  const logits = requireFinite(await session.run(lastInput), session);
  const first_run_ms = performance.now() - startedAt;
  if (logits.length !== model.outputs) {
    throw new VitError(
      'bad_model',
      `The model has ${logits.length} outputs, but its description says ${model.outputs}.`,
    );
  }
  return { lastInput, first_run_ms };
}

/**
 * Return an image as the model's input, with its size and what is to be said of it.
 * @param {Image} image
 * @param {Current['model']} model
 * @param {AbortSignal} signal
 */
async function prepare(image, model, signal) {
  const { pixels, width, height, notices } = await readImage(image);
  throwIfAborted(signal);
  return { values: preprocess(pixels, width, height, model.preprocess), width, height, notices };
}

/** @param {Float32Array[]} inputs @param {Session} session */
async function runSequentially(inputs, session) {
  const outputs = [];
  for (const values of inputs) outputs.push(await session.run(values));
  return outputs;
}

/**
 * Raises `wrong_result` for outputs that are no numbers.
 * @param {Float32Array} logits
 * @param {Session} session
 * @returns {Float32Array}
 */
function requireFinite(logits, { backend }) {
  if (logits.every(Number.isFinite)) return logits;
  throw new VitError('wrong_result', `The backend “${backend}” computed NaN or infinite values.`);
}
