/** The panel “Measured on this device”: what was timed here, about which bytes, on what; as text and as JSON. */

import { elements, make } from './elements.js';
import { formatMs } from './figures.js';

/**
 * @typedef {object} ColdStart
 * @property {number} download_ms
 * @property {number} decode_ms
 * @property {number} compile_ms
 * @property {number} first_run_ms
 *
 * @typedef {object} Loaded
 * @property {string} backend
 * @property {number} threads
 * @property {string} threads_reason
 * @property {ColdStart} cold
 * @property {boolean} from_cache
 * @property {number} bytes
 *
 * @typedef {object} Warm
 * @property {number} n
 * @property {number} median_ms
 * @property {number} p10_ms
 * @property {number} p90_ms
 * @property {number} warmup
 * @property {number} timer_resolution_ms
 */

const DEVICE_TITLES = /** @type {const} */ ([
  ['logical_cores', 'Logical cores'],
  ['memory_gb', 'Memory, as the browser rounds it'],
  ['gpu', 'Graphics'],
  ['simd', 'WebAssembly SIMD'],
  ['isolated', 'Cross-origin isolated'],
  ['user_agent', 'Browser'],
]);

/** What has been measured since the current variant was chosen. */
export class Measured {
  /** @type {import('./choices.js').Selection} */
  #selection;
  /** @type {Loaded | null} */
  #loaded = null;
  /** @type {Warm | null} */
  #warm = null;
  /** @type {{inference_ms: number, preprocess_ms: number} | null} */
  #single = null;
  /** @type {Record<string, unknown>} */
  #device = {};
  #version;

  /** @param {import('./choices.js').Selection} selection @param {string} version of the site */
  constructor(selection, version) {
    this.#selection = selection;
    this.#version = version;
    elements.copy.addEventListener('click', () => this.#copy());
    elements.save.addEventListener('click', () => this.#save());
    this.reset(selection);
  }

  /** Forget all figures: another variant is chosen. @param {import('./choices.js').Selection} selection */
  reset(selection) {
    this.#selection = selection;
    this.#loaded = this.#warm = this.#single = null;
    this.#show();
  }

  /** @param {Record<string, unknown>} device what `client.device()` says */
  setDevice(device) {
    this.#device = device;
    this.#show();
  }

  /** @param {Loaded} loaded */
  setLoaded(loaded) {
    this.#loaded = loaded;
    this.#warm = null;
    this.#show();
  }

  /** @param {{inference_ms: number, preprocess_ms: number}} single */
  setSingle({ inference_ms, preprocess_ms }) {
    this.#single = { inference_ms, preprocess_ms };
  }

  /** @param {Warm} warm */
  setWarm(warm) {
    this.#warm = warm;
    this.#show();
  }

  /** The stored copy is gone. */
  setForgotten() {
    elements.cached.textContent = 'Nothing of this site is kept on this device.';
  }

  /** Return everything as plain data, nulls where nothing was measured. */
  toJSON() {
    const { model, variant, backend } = this.#selection;
    const { id, engine, bytes, gzip_bytes, storage_dtype, compute_dtype, sha256 } = variant;
    return {
      schema_version: 1,
      version: this.#version,
      model: model.name,
      weights: model.weights,
      variant: { id, engine, bytes, gzip_bytes, storage_dtype, compute_dtype, sha256 },
      backend: this.#loaded?.backend ?? backend,
      threads: this.#loaded?.threads ?? null,
      threads_reason: this.#loaded?.threads_reason ?? null,
      from_cache: this.#loaded?.from_cache ?? null,
      cold: this.#loaded?.cold ?? null,
      warm: this.#warm,
      single_run: this.#single,
      device: this.#device,
    };
  }

  #show() {
    fill(elements.cold, { ...this.#loaded?.cold });
    fill(elements.warm, { ...this.#warm });
    elements.warmNote.textContent = warmNote(this.#warm);
    elements.cached.textContent = cacheNote(this.#loaded);
    const { model, variant } = this.#selection;
    const rows = [['Variant', `${model.title}, ${variant.title} (${variant.id})`]];
    if (this.#loaded) {
      const { backend, threads, threads_reason } = this.#loaded;
      rows.push(['Back end', backend], ['Threads', threads_reason ? `${threads}: ${threads_reason}` : String(threads)]);
    }
    for (const [key, title] of DEVICE_TITLES) {
      if (key in this.#device) rows.push([title, spell(this.#device[key])]);
    }
    const entries = rows.map(([term, text]) => make('div', {}, make('dt', { text: term }), make('dd', { text })));
    elements.device.replaceChildren(...entries);
  }

  #text() {
    return `${JSON.stringify(this, null, 2)}\n`;
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.#text());
      elements.copied.textContent = 'Copied.';
    } catch {
      elements.copied.textContent = 'The browser did not allow copying; download the JSON instead.';
    }
  }

  #save() {
    const link = make('a');
    link.href = URL.createObjectURL(new Blob([this.#text()], { type: 'application/json' }));
    link.download = `${this.#selection.model.name.replaceAll('/', '-')}-${this.#selection.variant.id}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
    elements.copied.textContent = `Saved as ${link.download}.`;
  }
}

/** Put figures into the places that name them; a dash where there is none. @param {HTMLElement} list @param {Record<string, unknown>} figures */
function fill(list, figures) {
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (list.querySelectorAll('[data-figure]'))) {
    const name = /** @type {string} */ (place.dataset.figure);
    const value = figures[name];
    if (typeof value !== 'number') place.textContent = '–';
    else place.textContent = name.endsWith('_ms') ? formatMs(value) : String(value);
  }
}

/** @param {Warm | null} warm @returns {string} */
function warmNote(warm) {
  if (!warm) return 'Press “Measure” to time many runs, after warm-up, with the result read back.';
  return (
    `After ${warm.warmup} warm-up runs; every run ends with its result read back. ` +
    `The clock here is ${formatMs(warm.timer_resolution_ms)} fine.`
  );
}

/** @param {Loaded | null} loaded @returns {string} */
function cacheNote(loaded) {
  if (!loaded) return '';
  return loaded.from_cache
    ? 'Loaded from this device: nothing was downloaded.'
    : 'Downloaded and kept on this device: the next start needs no download.';
}

/** @param {unknown} value @returns {string} */
function spell(value) {
  if (value === true) return 'yes';
  if (value === false) return 'no';
  if (value === null || value === undefined || value === '') return 'not told by the browser';
  return String(value);
}
