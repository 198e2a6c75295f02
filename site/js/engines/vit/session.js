/** A session of our engine: runs images through an instance that is ready, with its threads. */

import { VitError } from '../../common/errors.js';
import { ThreadTuner } from './tuner.js';

/**
 * Runs that follow each other within so many milliseconds, or half of what the last one took, are trials of the number
 * of threads. Others are someone's answers: they get the number found so far, and the page draws beside them, so that
 * their times would tell little.
 */
const AT_ONCE_MS = 40;

/**
 * An instance that is ready to run: with how many threads and why no more, and for how many images at once.
 * @typedef {object} Started
 * @property {import('./wasm.js').Instance} instance
 * @property {string} build
 * @property {number} threads
 * @property {string} reason
 * @property {number} images
 * @property {number} decode_ms
 * @property {() => void} end ends the threads
 */

/** @implements {Session} @typedef {import('../index.js').Session} Session */
export class VitSession {
  backend = 'wasm';
  /** @type {Session['input']} */
  input;
  #started;
  #tuner;
  #ended = false;
  /** When the last run ended, and what it took. */
  #last = { end: -Infinity, ms: 0 };

  /**
   * @param {Started} started
   * @param {Record<string, number>} sizes of the model's plan
   * @param {{compile_ms: number, tune: boolean}} options `tune`: find out how many of the threads are the fastest
   */
  constructor(started, { height, width }, { compile_ms, tune }) {
    this.#started = started;
    this.#tuner = tune ? new ThreadTuner(started.threads) : undefined;
    this.input = [height, width, 3];
    this.build = started.build;
    this.decode_ms = started.decode_ms;
    this.compile_ms = compile_ms;
  }

  get threads() {
    return this.#tuner?.fastest ?? this.#started.threads;
  }

  get threads_reason() {
    return this.#started.reason || this.#tuner?.reason || '';
  }

  get settled() {
    return this.#tuner?.settled ?? true;
  }

  /** @param {Float32Array} values @returns {Promise<Float32Array>} */
  async run(values) {
    this.#requireLoaded();
    this.#write(values, 0);
    const startedAt = performance.now();
    const atOnce = startedAt - this.#last.end < Math.max(AT_ONCE_MS, this.#last.ms / 2);
    const trial = atOnce ? this.#tuner : undefined;
    requireReady(this.#started.instance.exports.run(trial?.next ?? this.threads));
    const end = performance.now();
    this.#last = { end, ms: end - startedAt };
    trial?.record(this.#last.ms);
    return this.#read(0);
  }

  /**
   * Threads with an image each need not wait for each other.
   * @param {Float32Array[]} inputs
   * @returns {Promise<Float32Array[]>}
   */
  async runAll(inputs) {
    this.#requireLoaded();
    const atOnce = Math.min(this.#started.images, this.threads);
    const outputs = [];
    for (let from = 0; from < inputs.length; from += atOnce) {
      const group = inputs.slice(from, from + atOnce);
      for (const [image, values] of group.entries()) this.#write(values, image);
      requireReady(this.#started.instance.exports.run_images(group.length));
      for (const image of group.keys()) outputs.push(this.#read(image));
    }
    return outputs;
  }

  async dispose() {
    this.#ended = true;
    this.#started.end();
  }

  /** @param {Float32Array} values @param {number} image */
  #write(values, image) {
    const size = this.input.reduce((product, length) => product * length, 1);
    if (values.length !== size)
      throw new VitError('bad_request', `The input has ${values.length} values; the model takes ${size}.`);
    const { memory, exports } = this.#started.instance;
    new Float32Array(memory.buffer, exports.input(image), size).set(values);
  }

  /** @param {number} image @returns {Float32Array} */
  #read(image) {
    const { memory, exports } = this.#started.instance;
    return new Float32Array(memory.buffer, exports.output(image), exports.outputs()).slice();
  }

  /** A run would wait for threads that have ended. */
  #requireLoaded() {
    if (this.#ended) throw new VitError('not_loaded', 'The model was unloaded.');
  }
}

/** @param {unknown} ready */
function requireReady(ready) {
  if (!ready) throw new VitError('internal', 'The engine was not ready to run.');
}
