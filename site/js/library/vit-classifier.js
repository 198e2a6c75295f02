/** `<vit-classifier src="models/NAME/manifest.json">`: an image in, by any way; the most likely classes out. */

import { throwIfAborted } from '../common/errors.js';
import { Camera } from './element/camera.js';
import { Model, OF_MODEL } from './element/model.js';
import { previewOf } from './element/preview.js';
import { listenForImages } from './element/sources.js';
import { attributeOf, describeError, percent, TEXTS, textOf, unknownTexts } from './element/texts.js';
import { View } from './element/view.js';
import { failure, forCaller } from './errors.js';

/** @typedef {import('./vit-pages.d.ts').Classifier} Classifier */
/** @typedef {import('./vit-pages.d.ts').Classification} Classification */

const NAME = 'vit-classifier';
const SWITCHES = ['paste', 'camera'];
const DEFAULT_TOP = 5;
/** Failures after which the session is not trusted: the next image loads it anew. */
const LOST = new Set(['internal', 'not_loaded', 'disposed', 'out_of_memory', 'wrong_result']);
/** Those that are in a document. @type {Set<VitClassifierElement>} */
const connected = new Set();

/** The element; it loads its model with the first image, or at once with the attribute `preload`. */
export class VitClassifierElement extends HTMLElement {
  static observedAttributes = [...OF_MODEL, ...SWITCHES, 'preload', ...Object.keys(TEXTS).map(attributeOf)];
  #view = new View(this);
  #camera = new Camera(this.#view.video, () => this.#loseCamera());
  /** @type {AbortController | null} of the listeners outside */
  #listening = null;
  #model = new Model(this, (progress) => this.#showLoading(progress));
  /** @type {AbortController | null} of the image that is being classified; the newest wins */
  #task = null;

  connectedCallback() {
    connected.add(this);
    if (this.#listening) return; // moved within the document
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    listenForImages(this, this.#view, this.#receiver, signal);
    const { camera, take, stop, cancel } = this.#view.buttons;
    camera.addEventListener('click', () => this.#startCamera(), { signal });
    take.addEventListener('click', () => this.#takePicture(), { signal });
    stop.addEventListener('click', () => this.#stopCamera(), { signal });
    cancel.addEventListener('click', () => this.#cancel(), { signal });
    window.addEventListener('pagehide', () => this.#stopCamera(), { signal });
    const hidden = () => document.hidden && this.#stopCamera();
    document.addEventListener('visibilitychange', hidden, { signal });
    for (const name of unknownTexts(this))
      console.warn(`<${NAME}> has no text “${name}”; it has: ${Object.keys(TEXTS).map(attributeOf).join(', ')}.`);
    this.#show();
  }

  disconnectedCallback() {
    connected.delete(this);
    // What is moved is taken away and put back at once.
    queueMicrotask(() => !this.isConnected && this.#leave());
  }

  /** @param {string} name @param {string | null} before @param {string | null} after */
  attributeChangedCallback(name, before, after) {
    if (before === after) return;
    if (OF_MODEL.includes(name)) this.#model.forget();
    if (this.isConnected) this.#show();
  }

  get src() {
    return this.getAttribute('src') ?? '';
  }

  set src(value) {
    this.setAttribute('src', value);
  }

  get variant() {
    return this.getAttribute('variant') ?? '';
  }

  set variant(value) {
    this.setAttribute('variant', value);
  }

  get top() {
    return Number(this.getAttribute('top') ?? DEFAULT_TOP);
  }

  set top(value) {
    this.setAttribute('top', String(value));
  }

  /**
   * Classify an image as if a person had chosen it.
   * @param {unknown} image
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Classification>}
   */
  async classify(image, { signal } = {}) {
    return this.#classify(image, [], signal);
  }

  /** @type {import('./element/sources.js').Receiver} */
  get #receiver() {
    return {
      onFiles: (files) => {
        const several = files.length > 1 ? [textOf(this, 'several', { count: files.length })] : [];
        this.#classify(files[0], several).catch(() => {}); // it is shown
      },
      onProblem: (error) => this.#fail(error),
      pastes: () => connected.size === 1 && !this.#isOff('paste'),
    };
  }

  /**
   * @param {unknown} image
   * @param {string[]} notices
   * @param {AbortSignal} [signal]
   */
  async #classify(image, notices, signal) {
    this.#task?.abort();
    const task = new AbortController();
    this.#task = task;
    signal?.addEventListener('abort', () => task.abort(), { signal: task.signal });
    try {
      throwIfAborted(signal);
      await this.#begin(image);
      throwIfAborted(task.signal);
      const vit = await this.#model.load();
      throwIfAborted(task.signal);
      this.#view.say(textOf(this, 'run'));
      const found = await vit.classify(image, { top: this.top, signal: task.signal });
      this.#succeed(vit, found, notices);
      return found;
    } catch (thrown) {
      const error = forCaller(thrown);
      if (this.#task === task) this.#fail(error);
      throw error;
    } finally {
      if (this.#task === task) this.#rest();
    }
  }

  /** Take away what was shown of the image before. @param {unknown} image */
  async #begin(image) {
    this.#stopCamera();
    this.#view.showError(null);
    this.#view.showNotices([]);
    this.#view.showResults([]);
    this.#view.showPreview(await previewOf(image));
  }

  /** @param {Classifier} vit @param {Classification} found @param {string[]} notices */
  #succeed(vit, found, notices) {
    const random = vit.weights === 'random' ? [textOf(this, 'random')] : [];
    this.#view.showResults(found.top);
    this.#view.showNotices([...random, ...notices, ...found.notices, ...vit.notices]);
    this.#view.say(this.#sentence(vit, found));
    this.dispatchEvent(new CustomEvent('classified', { detail: found }));
  }

  /** @param {Classifier} vit @param {Classification} found @returns {string} */
  #sentence({ labels }, { top: [first], unknown, logits }) {
    if (!first) return textOf(this, 'embedding', { count: logits.length });
    const values = { label: first.label, probability: percent(this, first.probability), count: labels.length };
    return textOf(this, unknown ? 'unknown' : 'answer', values);
  }

  /** @param {import('../common/errors.js').VitError} error */
  #fail(error) {
    if (LOST.has(error.code)) this.#model.forget();
    this.#view.showProgress(null);
    if (error.code === 'aborted') {
      this.#view.say(textOf(this, 'cancelled'));
      return;
    }
    this.#view.say(textOf(this, 'failed'));
    this.#view.showError(describeError(this, error));
    this.dispatchEvent(new CustomEvent('error', { detail: error }));
  }

  #rest() {
    this.#task = null;
    this.#view.showProgress(null);
  }

  #cancel() {
    this.#task?.abort();
    this.#model.forget();
    this.#rest();
    this.#view.say(textOf(this, 'cancelled'));
  }

  /** @param {import('./vit-pages.d.ts').Progress} progress */
  #showLoading(progress) {
    this.#view.showProgress(progress);
    this.#view.say(textOf(this, progress.phase === 'download' ? 'download' : 'prepare'));
  }

  async #startCamera() {
    this.#view.showError(null);
    try {
      if (!(await this.#camera.start())) return;
      this.#task?.abort();
      this.#view.showResults([]);
      this.#view.showNotices([]);
      if (this.#view.showCamera(true, this.#camera.mirrored)) this.#view.buttons.take.focus();
      this.#view.say(textOf(this, 'live'));
    } catch (error) {
      this.#stopCamera();
      this.#fail(forCaller(error));
    }
  }

  async #takePicture() {
    try {
      await this.#classify(await this.#camera.take(), []);
    } catch (error) {
      if (this.#camera.on) this.#fail(forCaller(error)); // else it is shown
    }
  }

  #stopCamera() {
    const on = this.#camera.on;
    this.#camera.stop();
    if (!on) return;
    if (this.#view.showCamera(false)) this.#view.buttons.camera.focus();
    this.#view.say(textOf(this, 'ready'));
  }

  #loseCamera() {
    this.#stopCamera();
    const hint = 'Switch it on again, or choose a file.';
    this.#fail(failure('camera_lost', 'The camera was disconnected or switched off.', { hint }));
  }

  /** Show what the attributes say. */
  #show() {
    this.#view.setTexts();
    const { paste, camera } = this.#view.buttons;
    paste.hidden = this.#isOff('paste') || !navigator.clipboard?.read;
    camera.hidden = this.#isOff('camera');
    if (this.#isOff('camera')) this.#stopCamera();
    if (this.hasAttribute('preload') && this.src && !this.#model.wanted) this.#preload();
  }

  #preload() {
    this.#model.load().then(
      () => {
        if (this.#task) return;
        this.#view.showProgress(null);
        this.#view.say(textOf(this, 'ready'));
        this.dispatchEvent(new CustomEvent('ready'));
      },
      (error) => !this.#task && this.#fail(forCaller(error)),
    );
  }

  /** @param {string} name of a switch */
  #isOff(name) {
    return ['off', 'false'].includes(this.getAttribute(name) ?? '');
  }

  /** The element was taken away: nothing of it goes on. */
  #leave() {
    this.#listening?.abort();
    this.#listening = null;
    this.#stopCamera();
    this.#task?.abort();
    this.#model.forget();
    this.#view.showPreview('');
  }
}

if (!customElements.get(NAME)) customElements.define(NAME, VitClassifierElement);
