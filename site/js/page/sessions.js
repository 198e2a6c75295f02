/** The session of what is chosen: loaded once, and from another back end where one gives wrong answers. */

import { asVitError, VitError } from '../common/errors.js';
import { sameSelection } from './ui/choices.js';
import { showFallback, showLoading } from './ui/state.js';

/**
 * @typedef {import('./ui/choices.js').Selection} Selection
 * @typedef {import('../common/protocol.js').Loaded} Loaded
 * @typedef {{selection: Selection, promise: Promise<Loaded>, controller: AbortController, done: boolean}} Loading
 *
 * What is used of the page.
 * @typedef {object} Page
 * @property {import('./client.js').Client} client
 * @property {import('./ui/choices.js').Choices} choices
 * @property {import('../common/site_data.js').SiteData} siteData
 * @property {string} base URL of the site's root
 *
 * What is told: what loading took, that a back end was rejected, and what is used in its place.
 * @typedef {object} Listeners
 * @property {(loaded: Loaded) => void} onLoaded
 * @property {() => void} onRejected
 * @property {(selection: Selection) => void} onFallback
 */

/** Holds at most one session. */
export class Sessions {
  #page;
  #listeners;
  /** @type {Loading | null} */
  #loading = null;

  /** @param {Page} page @param {Listeners} listeners */
  constructor(page, listeners) {
    this.#page = page;
    this.#listeners = listeners;
  }

  /** Whether there is a session, or one is being loaded. */
  get started() {
    return this.#loading !== null;
  }

  /** Whether what is chosen is loaded. */
  get loaded() {
    return this.#loading?.done === true && sameSelection(this.#loading.selection, this.#page.choices.selection);
  }

  /** Do not use what there is: the next task loads it anew. */
  forget() {
    this.#loading = null;
  }

  /** Stop loading; what is loaded stays. */
  abort() {
    if (this.#loading && !this.#loading.done) this.#loading.controller.abort();
  }

  /** Return the chosen variant's session, loading it once however many tasks wait for it. @returns {Promise<Loaded>} */
  load() {
    const { selection } = this.#page.choices;
    if (this.#loading && sameSelection(this.#loading.selection, selection)) return this.#loading.promise;
    this.#loading?.controller.abort();
    const controller = new AbortController();
    /** @param {import('../common/protocol.js').LoadProgress} progress */
    const onProgress = (progress) => {
      if (this.#loading?.controller === controller) showLoading(progress);
    };
    const options = { signal: controller.signal, onProgress };
    const promise = this.#loadWithFallback(selection, options);
    const loading = { selection, controller, promise, done: false };
    this.#loading = loading;
    promise.then(
      (loaded) => {
        loading.done = true;
        if (this.#loading === loading) this.#listeners.onLoaded(loaded);
      },
      () => {
        if (this.#loading === loading) this.#loading = null;
      },
    );
    return promise;
  }

  /**
   * Load what is chosen; a back end that gives wrong answers is rejected, visibly, and the next one taken.
   * @param {Selection} selection
   * @param {{signal: AbortSignal, onProgress: (progress: import('../common/protocol.js').LoadProgress) => void}} options
   * @returns {Promise<Loaded>}
   */
  async #loadWithFallback(selection, options) {
    const { model, variant, backend } = selection;
    const { client, base } = this.#page;
    try {
      return await client.load({ model, variant, backend, base }, options);
    } catch (error) {
      const loading = this.#loading;
      if (asVitError(error).code !== 'wrong_result' || loading?.selection !== selection) throw error;
      loading.selection = await this.#fallBackFrom(selection, asVitError(error));
      return this.#loadWithFallback(loading.selection, options);
    }
  }

  /**
   * Refuse a back end and choose the next: of the same engine, else of another that has the same numbers.
   *
   * Raises `wrong_result` when none is left.
   * @param {Selection} rejected
   * @param {VitError} error
   * @returns {Promise<Selection>}
   */
  async #fallBackFrom(rejected, error) {
    const { choices, client, siteData } = this.#page;
    this.#listeners.onRejected();
    choices.reject(rejected, error.message);
    for (const variant of choices.alike) {
      const { engine } = variant;
      if (!choices.knows(engine)) choices.setBackends(engine, await client.backends(engine));
      if (this.#loading?.selection !== rejected) throw error; // something else was chosen meanwhile
      const next = choices.fallBack(variant);
      if (!next) continue;
      const other = variant === rejected.variant ? '' : `${siteData.engines[engine].title} on `;
      showFallback(`${error.message} ${other}${siteData.backends[next.backend]} is used instead.`);
      this.#listeners.onFallback(next);
      return next;
    }
    const hint = 'Choose another variant, or open the page in another browser.';
    throw new VitError('wrong_result', `${error.message} No other backend is left, so there is no prediction.`, {
      hint,
    });
  }
}
