/** The classify page: wires the controls to the runtime. One task at a time; the newest wins. */

import { asVitError, VitError } from '../common/errors.js';
import { createClient } from './client.js';
import { embed } from './embedding.js';
import { Sessions } from './sessions.js';
import { readSiteData } from './site_data.js';
import { Choices, labelLoadButton } from './ui/choices.js';
import { elements } from './ui/elements.js';
import { formatMs } from './ui/figures.js';
import { isolate } from './ui/isolation.js';
import { Measured } from './ui/measured.js';
import { listenForPictures } from './ui/picture.js';
import { clearPrediction, RANKS, showPrediction } from './ui/prediction.js';
import { clearFallbacks, clearProblem, drawSoon, READY, say, setRunning, showProblem, showRuns } from './ui/state.js';
import { showExplained } from './updates.js';

const WARMUP_MAX = 50;
const RUNS = 50;
/** Failures after which the session is not trusted: the next task loads it anew. */
const LOST = new Set(['internal', 'not_loaded', 'out_of_memory', 'wrong_result']);

/** The page's state, and what visitors can do to it. */
class App {
  /** @type {import('./ui/picture.js').Picture | null} */
  #picture = null;
  /** The picture whose prediction is shown. @type {import('./ui/picture.js').Picture | null} */
  #classified = null;
  /** @type {AbortController | null} of the running task */
  #current = null;
  #measuring = false;

  /** @param {import('../common/site_data.js').SiteData} siteData */
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
    this.sessions = new Sessions(this, {
      onLoaded: (loaded) => this.measured.setLoaded(loaded),
      onRejected: () => {
        this.#classified = null;
        clearPrediction();
      },
      onFallback: (selection) => this.measured.reset(selection),
    });
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
      busy: () => this.#picture !== null || this.sessions.started || this.#current !== null,
      onStatus: (status) => this.measured.setIsolationStatus(status),
    });
  }

  /** Ask the runtime what works on this device; nothing else waits for it. */
  async #probe() {
    const { engine } = this.choices.selection.variant;
    try {
      this.choices.setBackends(engine, await this.client.backends(engine));
      if (!this.sessions.started) this.measured.reset(this.choices.selection);
      this.measured.setDevice(await this.client.device());
      await this.client.checkPictures();
    } catch (error) {
      this.#show(asVitError(error), () => {
        this.#probe();
        // What came first may have failed for the same reason, and its way on has just been replaced by this one.
        if (this.#picture !== this.#classified) this.#perform((signal) => this.#classify(signal));
      });
    }
  }

  /** Another variant or back end was chosen: the old session goes, the new one is loaded on request. */
  #changed() {
    this.#cancel();
    this.sessions.forget();
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
    this.sessions.abort();
    this.sessions.forget();
    this.#perform(async (signal) => {
      if (this.#picture) return this.#classify(signal);
      await this.sessions.load();
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

  /** @param {import('../common/errors.js').VitError} error @param {() => void} retry */
  #fail(error, retry) {
    if (LOST.has(error.code)) this.sessions.forget();
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

  /** @param {AbortSignal} signal @param {() => void} [begin] draws what is asked, before the answer */
  async #classify(signal, begin = () => {}) {
    if (!this.#picture) return;
    const picture = this.#picture;
    const { model } = this.choices.selection;
    const { loaded } = this.sessions;
    if (!loaded) {
      begin();
      await this.client.checkPictures(); // before a model is downloaded in vain
      await this.sessions.load();
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
    else await this.sessions.load();
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
    this.sessions.abort();
    await this.client.clearCache(this.base);
    this.measured.setForgotten();
    say('The model was removed from this device. It stays loaded until the page is closed.');
  }

  #cancel() {
    this.#current?.abort();
    this.sessions.abort();
    if (!this.#current) return;
    this.#rest();
    say('Cancelled.');
  }

  #labelLoad() {
    const { selection } = this.choices;
    labelLoadButton(selection, { loaded: this.sessions.loaded, picture: this.#picture !== null });
  }
}

const siteData = readSiteData();
if (!embed(siteData)) new App(siteData);
