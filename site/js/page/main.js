/** The classify page: wires the controls to the runtime. One task at a time; the newest wins. */

import { asVitError, VitError } from '../shared/errors.js';
import { createClient } from './client.js';
import { embed } from './embedding.js';
import { readSiteData } from './site_data.js';
import { Choices, labelLoadButton, sameSelection } from './ui/choices.js';
import { elements } from './ui/elements.js';
import { formatMs } from './ui/figures.js';
import { isolate } from './ui/isolation.js';
import { Measured } from './ui/measured.js';
import { listenForPictures } from './ui/picture.js';
import { clearPrediction, RANKS, showPrediction } from './ui/prediction.js';
import {
  clearFallbacks,
  clearProblem,
  drawSoon,
  READY,
  say,
  setRunning,
  showFallback,
  showLoading,
  showProblem,
  showRuns,
} from './ui/state.js';
import { showExplained } from './updates.js';

/**
 * @typedef {import('./ui/choices.js').Selection} Selection
 * @typedef {import('../shared/protocol.js').Loaded} Loaded
 * @typedef {{selection: Selection, promise: Promise<Loaded>, controller: AbortController, done: boolean}} Loading
 */

const WARMUP_MAX = 50;
const RUNS = 50;
/** Failures after which the session is not trusted: the next task loads it anew. */
const LOST = new Set(['internal', 'not_loaded', 'out_of_memory', 'wrong_result']);

/** The page's state, and what visitors can do to it. */
class App {
  /** @type {Loading | null} */
  #loading = null;
  /** @type {import('./ui/picture.js').Picture | null} */
  #picture = null;
  /** The picture whose prediction is shown. @type {import('./ui/picture.js').Picture | null} */
  #classified = null;
  /** @type {AbortController | null} of the running task */
  #current = null;
  #measuring = false;

  /** @param {import('../shared/site_data.js').SiteData} siteData */
  constructor(siteData) {
    const at = /** @param {string} path */ (path) => new URL(path, document.baseURI).href;
    this.siteData = siteData;
    this.base = at('.');
    this.client = createClient(at(siteData.assets.worker), { wasmPath: at(siteData.assets.wasm) });
    say(READY);
    this.choices = new Choices(
      siteData,
      () => this.#changed(),
      (problem) => showProblem(problem, null),
    );
    this.measured = new Measured(this.choices.selection, siteData.version);
    this.#labelLoad();
    listenForPictures(
      (picture, show) => this.#take(picture, show),
      (problem) => this.#show(problem, null),
    );
    elements.reload.addEventListener('click', () => location.reload());
    elements.load.addEventListener('click', () => this.#reload());
    elements.measure.addEventListener('click', () => this.#measure());
    elements.forget.addEventListener('click', () => this.#perform(() => this.#forget()));
    elements.cancel.addEventListener('click', () => this.#cancel());
    this.#probe();
    isolate(at(siteData.assets.service_worker), {
      busy: () => this.#picture !== null || this.#loading !== null || this.#current !== null,
      onStatus: (status) => this.measured.setIsolationStatus(status),
    });
  }

  /** Ask the runtime what works on this device; nothing else waits for it. */
  async #probe() {
    const { engine } = this.choices.selection.variant;
    try {
      this.choices.setBackends(engine, await this.client.backends(engine));
      if (!this.#loading) this.measured.reset(this.choices.selection);
      this.measured.setDevice(await this.client.device());
      await this.client.checkPictures();
    } catch (error) {
      this.#show(asVitError(error), () => this.#probe());
    }
  }

  /** Another variant or back end was chosen: the old session goes, the new one is loaded on request. */
  #changed() {
    this.#cancel();
    this.#loading = null;
    this.client.unload().catch((error) => this.#show(asVitError(error), null));
    this.#classified = null;
    clearPrediction();
    clearProblem();
    clearFallbacks();
    this.measured.reset(this.choices.selection);
    this.#labelLoad();
    const { variant, backend } = this.choices.selection;
    const next = this.#picture ? 'Load it to classify the image again.' : 'Choose an image, or a sample.';
    say(`${variant.title} on ${this.siteData.backends[backend]} chosen. ${next}`);
    if (!this.choices.knows(variant.engine)) this.#probe();
  }

  /** @param {import('./ui/picture.js').Picture} picture @param {() => void} show shows which picture it is */
  #take(picture, show) {
    this.#picture = picture;
    const begin = () => {
      show();
      clearPrediction(picture.notices);
    };
    this.#perform((signal) => this.#classify(signal, begin));
  }

  /** Load even what is loaded already, so that the start can be timed again. */
  #reload() {
    this.#loading?.controller.abort();
    this.#loading = null;
    this.#perform(async (signal) => {
      if (this.#picture) return this.#classify(signal);
      await this.#load();
      if (!signal.aborted) say('The model is loaded. Choose an image.');
    });
  }

  /**
   * Run one task; an older one is aborted, and only the newest shows how it ended.
   * @param {(signal: AbortSignal) => Promise<void>} task
   */
  async #perform(task) {
    this.#current?.abort();
    const current = new AbortController();
    this.#current = current;
    clearProblem();
    setRunning(true);
    try {
      await task(current.signal);
    } catch (error) {
      if (this.#current === current) this.#fail(asVitError(error), () => this.#perform(task));
    }
    if (this.#current === current) this.#rest();
  }

  /** Nothing is going on any more. */
  #rest() {
    this.#current = null;
    setRunning(false);
    this.measured.refresh();
    this.#labelLoad();
  }

  /** @param {import('../shared/errors.js').VitError} error @param {() => void} retry */
  #fail(error, retry) {
    if (LOST.has(error.code)) this.#loading = null;
    if (error.code === 'aborted') {
      say('Cancelled.');
    } else {
      say('Something went wrong.');
      this.#show(error, retry);
    }
  }

  /** @param {VitError | {message: string, hint: string}} problem @param {(() => void) | null} retry */
  #show(problem, retry) {
    showExplained(problem, this.client.ended ? null : retry);
  }

  /** Return the chosen variant's session, loading it once however many tasks wait for it. @returns {Promise<Loaded>} */
  #load() {
    const { selection } = this.choices;
    if (this.#loading && sameSelection(this.#loading.selection, selection)) return this.#loading.promise;
    this.#loading?.controller.abort();
    const controller = new AbortController();
    /** @param {import('../shared/protocol.js').LoadProgress} progress */
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
        if (this.#loading === loading) this.measured.setLoaded(loaded);
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
   * @param {{signal: AbortSignal, onProgress: (progress: import('../shared/protocol.js').LoadProgress) => void}} options
   * @returns {Promise<Loaded>}
   */
  async #loadWithFallback(selection, options) {
    const { model, variant, backend } = selection;
    try {
      return await this.client.load({ model, variant, backend, base: this.base }, options);
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
    this.#classified = null;
    clearPrediction();
    this.choices.reject(rejected, error.message);
    for (const variant of this.choices.alike) {
      const { engine } = variant;
      if (!this.choices.knows(engine)) this.choices.setBackends(engine, await this.client.backends(engine));
      if (this.#loading?.selection !== rejected) throw error; // something else was chosen meanwhile
      const next = this.choices.fallBack(variant);
      if (!next) continue;
      const other = variant === rejected.variant ? '' : `${this.siteData.engines[engine].title} on `;
      showFallback(`${error.message} ${other}${this.siteData.backends[next.backend]} is used instead.`);
      this.measured.reset(next);
      return next;
    }
    const hint = 'Choose another variant, or open the page in another browser.';
    throw new VitError('wrong_result', `${error.message} No other backend is left, so there is no prediction.`, {
      hint,
    });
  }

  /** @param {AbortSignal} signal @param {() => void} [begin] draws what is asked, before the answer */
  async #classify(signal, begin = () => {}) {
    if (!this.#picture) return;
    const picture = this.#picture;
    const { model } = this.choices.selection;
    const loaded = this.#isLoaded;
    if (!loaded) {
      begin();
      await this.client.checkPictures(); // before a model is downloaded in vain
      await this.#load();
      if (signal.aborted) return;
    }
    const draw = () => {
      if (loaded) begin();
      say('Classifying …');
    };
    const asked = this.client.classify(picture.blob, { topk: Math.min(RANKS, model.outputs), signal });
    const classification = await asked.finally(drawSoon(draw, signal));
    if (signal.aborted) return;
    this.#classified = picture;
    this.measured.setSingle(classification);
    say(showPrediction(model, classification, picture));
  }

  /** @param {AbortSignal} signal */
  async #benchmark(signal) {
    await this.client.checkPictures();
    if (this.#picture !== this.#classified) await this.#classify(signal);
    else await this.#load();
    if (signal.aborted) return;
    say('Measuring …');
    const warm = await this.client.benchmark({ warmup_max: WARMUP_MAX, runs: RUNS, signal }, (progress) => {
      if (!signal.aborted) showRuns(progress);
    });
    if (signal.aborted) return;
    this.measured.setWarm(warm);
    say(`Measured: a median of ${formatMs(warm.median_ms)} over ${warm.n} runs.`);
  }

  /** Measure, or stop measuring. */
  async #measure() {
    if (this.#measuring) return this.#cancel();
    this.#measuring = true;
    elements.measure.textContent = 'Stop';
    await this.#perform((signal) => this.#benchmark(signal));
    this.#measuring = false;
    elements.measure.textContent = 'Measure';
  }

  async #forget() {
    if (this.#loading && !this.#loading.done) this.#loading.controller.abort();
    await this.client.clearCache(this.base);
    this.measured.setForgotten();
    say('The model was removed from this device. It stays loaded until the page is closed.');
  }

  #cancel() {
    this.#current?.abort();
    if (this.#loading && !this.#loading.done) this.#loading.controller.abort();
    if (!this.#current) return;
    this.#rest();
    say('Cancelled.');
  }

  get #isLoaded() {
    return this.#loading?.done === true && sameSelection(this.#loading.selection, this.choices.selection);
  }

  #labelLoad() {
    const { selection } = this.choices;
    labelLoadButton(selection, { loaded: this.#isLoaded, picture: this.#picture !== null });
  }
}

const siteData = readSiteData();
if (!embed(siteData)) new App(siteData);
