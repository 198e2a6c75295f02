/** What the element shows: built once in its shadow, and changed by the few methods here. Texts are never markup. */

import { styleSheet } from './style.js';
import { percent, textOf } from './texts.js';

/** @typedef {import('../vit-pages.d.ts').Classification} Classification */

/** Images up to this side are shown with their pixels as squares. */
const SMALL_PIXELS = 96;

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} part
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
function make(tag, part, ...children) {
  const element = document.createElement(tag);
  if (part) element.setAttribute('part', part);
  element.append(...children);
  return element;
}

/** @param {string} name */
function makeButton(name) {
  const button = make('button', `button ${name}`);
  button.type = 'button';
  return button;
}

/** The element's shadow. */
export class View {
  #host;
  hint = make('span', '');
  frame = make('div', 'frame');
  preview = make('img', 'preview');
  video = make('video', 'video');
  file = make('input', '');
  buttons = {
    choose: makeButton('choose'),
    paste: makeButton('paste'),
    camera: makeButton('camera'),
    take: makeButton('take'),
    stop: makeButton('stop'),
    cancel: makeButton('cancel'),
  };
  #ofFiles = make('div', 'controls');
  #ofCamera = make('div', 'controls');
  #status = make('p', 'status');
  #bar = make('progress', 'progress-bar');
  #progress = make('div', 'progress', this.#bar, this.buttons.cancel);
  #message = make('p', 'error-message');
  #hint = make('p', 'error-hint');
  #error = make('div', 'error', this.#message, this.#hint);
  #results = make('ol', 'results');
  #notices = make('ul', 'notices');
  #base = make('div', 'base');

  /** @param {HTMLElement} host */
  constructor(host) {
    this.#host = host;
    const shadow = host.attachShadow({ mode: 'open' });
    shadow.adoptedStyleSheets = [styleSheet()];
    this.#compose();
    this.#base.append(...this.#rows());
    shadow.append(this.#base);
    this.setTexts();
  }

  /** Give everything its role, its state and its text. */
  #compose() {
    this.#base.setAttribute('role', 'group');
    this.#status.setAttribute('role', 'status');
    this.#error.setAttribute('role', 'alert');
    Object.assign(this.file, { type: 'file', accept: 'image/*', hidden: true });
    Object.assign(this.video, { muted: true, playsInline: true });
    for (const name of /** @type {const} */ (['choose', 'take'])) this.buttons[name].classList.add('primary');
    for (const part of [this.preview, this.video, this.#ofCamera, this.#progress]) part.hidden = true;
    for (const part of [this.#error, this.#results, this.#notices]) part.hidden = true;
    this.preview.onload = () => {
      const side = Math.max(this.preview.naturalWidth, this.preview.naturalHeight);
      this.preview.classList.toggle('pixels', side <= SMALL_PIXELS);
    };
    this.preview.onerror = () => this.showPreview(''); // the classifier's own check says what is wrong with it
  }

  /** @returns {Node[]} */
  #rows() {
    const slot = document.createElement('slot');
    slot.name = 'hint';
    slot.append(this.hint);
    const foot = document.createElement('slot');
    this.frame.append(this.preview, this.video, slot);
    const { choose, paste, camera, take, stop } = this.buttons;
    this.#ofFiles.append(choose, paste, camera, this.file);
    this.#ofCamera.append(take, stop);
    return [
      this.frame,
      this.#ofFiles,
      this.#ofCamera,
      this.#status,
      this.#progress,
      this.#error,
      this.#results,
      this.#notices,
      foot,
    ];
  }

  /** Write the texts that always stand somewhere, anew. */
  setTexts() {
    /** @param {string} name */
    const text = (name) => textOf(this.#host, name);
    for (const [name, button] of Object.entries(this.buttons)) button.textContent = text(name);
    const labelled = { label: this.#base, video: this.video, results: this.#results, progress: this.#bar };
    for (const [name, element] of Object.entries(labelled)) element.setAttribute('aria-label', text(name));
    this.hint.textContent = text('hint');
    this.preview.alt = text('preview');
  }

  /** Say what is going on; screen readers hear it, so it changes with the stage and not with every byte. @param {string} text */
  say(text) {
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }

  /** Show the picture at an address; '' for none. @param {string} address */
  showPreview(address) {
    if (this.preview.src.startsWith('blob:')) URL.revokeObjectURL(this.preview.src);
    if (address) this.preview.src = address;
    else this.preview.removeAttribute('src');
    this.preview.hidden = !address;
    this.#showHint();
  }

  /**
   * Show the camera with its controls, or the others; return whether what had the focus is gone.
   * @param {boolean} on
   * @param {boolean} [mirrored]
   * @returns {boolean}
   */
  showCamera(on, mirrored = false) {
    const focused = this.#base.querySelector('button:focus');
    for (const part of [this.video, this.#ofCamera]) part.hidden = !on;
    this.#ofFiles.hidden = on;
    this.video.classList.toggle('mirrored', mirrored);
    if (on) this.showPreview('');
    this.#showHint();
    return focused !== null && (on ? this.#ofFiles : this.#ofCamera).contains(focused);
  }

  #showHint() {
    this.hint.parentElement?.toggleAttribute('hidden', !this.preview.hidden || !this.video.hidden);
  }

  /** @param {{loaded: number, total: number} | null} progress null when there is none */
  showProgress(progress) {
    this.#progress.hidden = progress === null;
    if (progress && progress.loaded < progress.total) {
      this.#bar.max = progress.total;
      this.#bar.value = progress.loaded;
    } else {
      this.#bar.removeAttribute('value');
    }
  }

  /** @param {{message: string, hint: string} | null} problem */
  showError(problem) {
    this.#message.textContent = problem?.message ?? '';
    this.#hint.textContent = problem?.hint ?? '';
    this.#error.hidden = problem === null;
  }

  /** @param {string[]} notices */
  showNotices(notices) {
    this.#notices.replaceChildren(...notices.map((text) => make('li', 'notice', text)));
    this.#notices.hidden = notices.length === 0;
  }

  /** @param {Classification['top']} top */
  showResults(top) {
    this.#results.replaceChildren(...top.map((one) => this.#row(one)));
    this.#results.hidden = top.length === 0;
  }

  /** @param {Classification['top'][number]} prediction */
  #row({ label, probability }) {
    const bar = make('span', 'bar');
    bar.setAttribute('aria-hidden', 'true');
    bar.style.setProperty('--share', String(probability));
    const share = make('span', 'share', percent(this.#host, probability));
    return make('li', 'result', make('span', 'label', label), share, bar);
  }
}
