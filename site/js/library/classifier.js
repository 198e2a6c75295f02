/** A loaded model, in a worker of its own. */

import { failure, forCaller, refuseUnknown, requireCount } from './errors.js';
import { prepareInput } from './input.js';

/** @typedef {import('./vit-pages.d.ts').Classification} Classification */
/** @typedef {import('./vit-pages.d.ts').ClassifyOptions} ClassifyOptions */
/** @typedef {import('../common/site_data.js').Model} Model */
/** @typedef {import('../common/protocol.js').Loaded} Loaded */

const DEFAULT_TOP = 5;

/** @implements {Public} @typedef {import('./vit-pages.d.ts').Classifier} Public */
export class Classifier {
  #rpc;
  #model;
  #disposed = false;

  /**
   * @param {import('./connect.js').Rpc} rpc of a worker that has loaded the model
   * @param {Model} model
   * @param {import('../common/site_data.js').Variant} variant
   * @param {Loaded} loaded
   */
  constructor(rpc, model, variant, loaded) {
    this.#rpc = rpc;
    this.#model = model;
    this.name = model.name;
    this.title = model.title;
    this.labels = Object.freeze([...model.labels]);
    this.weights = model.weights;
    this.licence = model.licence;
    this.source = model.source;
    this.variant = variant.id;
    this.bytes = variant.bytes;
    this.threads = loaded.threads;
    this.threadsReason = loaded.threads_reason;
    this.fromCache = loaded.from_cache;
    this.notices = Object.freeze([...loaded.notices]);
  }

  /**
   * @param {unknown} input
   * @param {ClassifyOptions} [options]
   * @returns {Promise<Classification>}
   */
  async classify(input, options = {}) {
    refuseUnknown(options, ['top', 'signal'], 'classify()');
    const { top = DEFAULT_TOP, signal } = options;
    requireCount(top, 'top');
    this.#requireLoaded();
    try {
      const { image, transfer } = await prepareInput(input, signal);
      this.#requireLoaded();
      const topk = Math.min(top, this.#model.outputs);
      return this.#named(await this.#rpc.call('classify', { image, topk }, { signal, transfer }));
    } catch (error) {
      throw forCaller(error);
    }
  }

  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#rpc.end(disposed());
  }

  #requireLoaded() {
    if (this.#disposed) throw disposed();
  }

  /** @param {import('../common/protocol.js').Classification} found @returns {Classification} */
  #named({ top, unknown, logits, width, height, notices, preprocess_ms, inference_ms }) {
    const named = top.map(({ index, probability }) => ({
      label: this.labels[index] ?? `class ${index}`,
      index,
      probability,
    }));
    const times = { preprocessMs: preprocess_ms, inferenceMs: inference_ms };
    return { top: named, unknown, logits, width, height, notices, ...times };
  }
}

const disposed = () => failure('disposed', 'dispose() has ended this model’s worker.');
