/** The element's model: loaded once for however many images, anew when an attribute asks for another. */

import { failure } from '../errors.js';
import { load } from '../vit-pages.js';

/** @typedef {import('../vit-pages.d.ts').Classifier} Classifier */
/** @typedef {import('../vit-pages.d.ts').Progress} Progress */

/** The attributes of which a change is another model. */
export const OF_MODEL = ['src', 'variant', 'threads', 'assets'];

/** At most one model, that an element's attributes name. */
export class Model {
  #host;
  #onProgress;
  /** @type {{promise: Promise<Classifier>, controller: AbortController} | null} */
  #loading = null;

  /** @param {HTMLElement} host @param {(progress: Progress) => void} onProgress */
  constructor(host, onProgress) {
    this.#host = host;
    this.#onProgress = onProgress;
  }

  /** Whether it is loaded, or being loaded. */
  get wanted() {
    return this.#loading !== null;
  }

  /** Return the model; raises what `load` raises. @returns {Promise<Classifier>} */
  load() {
    if (this.#loading) return this.#loading.promise;
    const controller = new AbortController();
    const promise = this.#open(controller.signal);
    this.#loading = { promise, controller };
    promise.catch(() => {
      if (this.#loading?.controller === controller) this.#loading = null;
    });
    return promise;
  }

  /** @param {AbortSignal} signal */
  async #open(signal) {
    const [src, variant, threads, assets] = OF_MODEL.map((name) => this.#host.getAttribute(name) || undefined);
    if (!src) {
      const hint = 'Give it the address of models/NAME/manifest.json of a built site.';
      throw failure('bad_request', `The element <${this.#host.localName}> has no src.`, { hint });
    }
    return load(src, {
      variant,
      threads: threads === undefined ? undefined : Number(threads),
      assets,
      signal,
      onProgress: (progress) => {
        if (!signal.aborted) this.#onProgress(progress);
      },
    });
  }

  /** Free it, or give up loading it. */
  forget() {
    const loading = this.#loading;
    this.#loading = null;
    loading?.controller.abort();
    loading?.promise.then(
      (vit) => vit.dispose(),
      () => {},
    );
  }
}
