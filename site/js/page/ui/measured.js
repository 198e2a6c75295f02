/** The panel “Measured on this device”: what was timed here, about which bytes, on what; as text and as JSON. */

import { describeSelfTest } from '../../common/selftest_result.js';
import { elements, make } from './elements.js';
import { formatMs } from './figures.js';
import { drawOwn } from './scatter.js';

/**
 * @typedef {import('../../common/protocol.js').Loaded} Loaded
 * @typedef {import('../../common/protocol.js').BenchmarkResult} Timed
 * @typedef {import('../../common/benchmark.js').Measurement} Warm
 * @typedef {import('../../common/protocol.js').Device} Device
 * @typedef {{inference_ms: number, preprocess_ms: number}} Single
 */

/** @type {[keyof Device, string][]} */
const DEVICE_TITLES = [
  ['browser', 'Browser'],
  ['platform', 'System'],
  ['model', 'Device'],
  ['logical_cores', 'Logical cores'],
  ['threads', 'Threads available'],
  ['memory_gb', 'Memory in GB, rounded by the browser'],
  ['gpu', 'GPU'],
  ['simd', 'WebAssembly SIMD'],
  ['isolated', 'Cross-origin isolated'],
  ['user_agent', 'User agent'],
];

/**
 * What our engine's builds use of WebAssembly, and what a graph of TensorFlow.js is made for.
 * @type {Record<string, string>}
 */
const BUILDS = {
  relaxed: 'relaxed SIMD',
  pairs: 'relaxed SIMD, 16-bit sums',
  plain: 'SIMD',
  gpu: 'graph rewritten for GPUs',
};

/** What has been measured since the current variant was chosen. */
export class Measured {
  /** @type {import('./choices.js').Selection} */
  #selection;
  /** @type {Loaded | null} */
  #loaded = null;
  /** @type {Warm | null} */
  #warm = null;
  /** @type {Single | null} */
  #single = null;
  #forgotten = false;
  /** @type {Device | null} */
  #device = null;
  /** @type {import('./isolation.js').IsolationStatus} */
  #isolation = { reason: '', offline: '' };
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
    this.refresh();
  }

  /** @param {Device} device */
  setDevice(device) {
    this.#device = device;
    this.refresh();
  }

  /** Take in why there is but one thread, and whether the page is kept. @param {import('./isolation.js').IsolationStatus} status */
  setIsolationStatus(status) {
    this.#isolation = status;
    this.refresh();
  }

  /** Take in what loading took; it is drawn once the task is done, and not beside its answer. @param {Loaded} loaded */
  setLoaded(loaded) {
    this.#loaded = loaded;
    this.#forgotten = false;
    this.#warm = null;
  }

  /** @param {Single} single */
  setSingle({ inference_ms, preprocess_ms }) {
    this.#single = { inference_ms, preprocess_ms };
  }

  /** Take in what was timed, and the threads it was timed with. @param {Timed} timed */
  setWarm({ threads, threads_reason, ...warm }) {
    this.#warm = warm;
    drawOwn(this.#selection.model.name, this.#selection.variant.id, warm.median_ms);
    if (this.#loaded) this.#loaded = { ...this.#loaded, threads, threads_reason };
    this.refresh();
  }

  /** The stored copy is gone. */
  setForgotten() {
    this.#forgotten = true;
    this.refresh();
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
      build: this.#loaded?.build ?? null,
      threads: this.#loaded?.threads ?? null,
      threads_reason: this.#loaded?.threads_reason ?? null,
      isolation_reason: this.#isolation.reason,
      from_cache: this.#loaded?.from_cache ?? null,
      cold: this.#loaded?.cold ?? null,
      selftest: this.#loaded?.selftest ?? null,
      warm: this.#warm,
      single_run: this.#single,
      device: this.#device,
    };
  }

  /** Show what there is. */
  refresh() {
    fill(elements.cold, { ...this.#loaded?.cold });
    fill(elements.warm, { ...this.#warm });
    elements.warmNote.textContent = warmNote(this.#warm);
    elements.loadNote.textContent = this.#forgotten
      ? 'The model was removed from this device.'
      : cacheNote(this.#loaded);
    const { model, variant } = this.#selection;
    const rows = [['Variant', `${model.title}, ${variant.title} (${variant.id})`]];
    if (this.#loaded) {
      const { backend, build, threads, threads_reason, selftest } = this.#loaded;
      rows.push(['Backend', build ? `${backend}, ${BUILDS[build] ?? build}` : backend]);
      rows.push(['Threads', threads_reason ? `${threads}: ${threads_reason}` : String(threads)]);
      rows.push(['Self-test', describeSelfTest(selftest)]);
    }
    for (const [key, title] of DEVICE_TITLES) {
      if (!this.#device || this.#device[key] === '') continue;
      const why = key === 'threads' ? this.#isolation.reason || refusal(this.#device) : '';
      rows.push([title, spell(this.#device[key]) + (why ? `: ${why}` : '')]);
    }
    if (this.#isolation.offline) rows.push(['Works offline', this.#isolation.offline]);
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
      elements.copied.textContent = 'The browser does not allow copying; download the JSON instead.';
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
  if (!warm) return 'Press “Measure” to time many runs after warm-up, read-back included.';
  const notes = [
    `After ${warm.warmup} warm-up runs; every run includes the read-back of its result.`,
    `This browser’s timer has a resolution of ${formatMs(warm.timer_resolution_ms)}.`,
  ];
  if (!warm.warm) notes.push('Latency had not become steady when the warm-up ended.');
  if (warm.drifting)
    notes.push('The device’s speed drifted during the measurement; measure again for a reliable figure.');
  if (warm.discarded) notes.push(`${warm.discarded} runs were discarded because the page was hidden.`);
  return notes.join(' ');
}

/** @param {Loaded | null} loaded @returns {string} */
function cacheNote(loaded) {
  if (!loaded) return '';
  if (loaded.notices.length > 0) return loaded.notices.join(' ');
  return loaded.from_cache
    ? 'Loaded from this device without a download; “Download” is the time to read and verify the files.'
    : 'Downloaded, verified and kept on this device: the next start needs no download.';
}

/** Why an isolated page has one thread only; '' where it has not. @param {Device} device */
function refusal({ isolated, logical_cores, threads }) {
  return isolated && logical_cores > 1 && threads === 1 ? 'this browser does not let threads share memory' : '';
}

/** @param {string | number | boolean | null} value @returns {string} */
function spell(value) {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return value === null || value === 0 ? 'not reported by the browser' : String(value);
}
