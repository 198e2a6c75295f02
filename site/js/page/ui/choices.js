/** Which model, variant and back end: the controls, the link that carries them, and what is not available here. */

import { readLink, writeLink } from '../link.js';
import { BackendControls } from './backends.js';
import { elements } from './elements.js';
import { formatBytes } from './figures.js';

/**
 * @typedef {import('../../common/site_data.js').Model} Model
 * @typedef {import('../../common/site_data.js').Variant} Variant
 * @typedef {import('../../common/protocol.js').BackendState} BackendState
 * @typedef {{model: Model, variant: Variant, backend: string}} Selection
 */

/** The controls, and what they say. */
export class Choices {
  /** @type {Map<string, BackendState[]>} by engine */
  #states = new Map();
  /** @type {Map<string, string>} why a back end is not trusted, by variant and back end */
  #rejected = new Map();
  /** @type {string | undefined} the back end that was requested, by link or by hand */
  #requested;
  /** @type {Selection} */
  #selection;
  /** @type {(selection: Selection) => void} */
  #onChange;
  /** @type {import('../../common/site_data.js').SiteData} */
  #siteData;
  /** @type {BackendControls} */
  #backends;

  /**
   * @param {import('../../common/site_data.js').SiteData} siteData
   * @param {(selection: Selection) => void} onChange
   * @param {(problem: {message: string, hint: string}) => void} onProblem for a link that requests what the page does not have
   */
  constructor(siteData, onChange, onProblem) {
    this.#siteData = siteData;
    this.#onChange = onChange;
    this.#backends = new BackendControls(siteData, (backend) => this.#choose({ ...this.#request(), backend }));
    this.#selection = this.#resolve(onProblem);
    this.#show();
    elements.model.addEventListener('change', () => this.#choose({ model: elements.model.value }));
    for (const radio of variantRadios()) {
      radio.addEventListener('change', () => this.#choose({ ...this.#request(), variant: radio.value }));
    }
    window.addEventListener('hashchange', () => {
      const selection = this.#resolve(onProblem);
      if (sameSelection(selection, this.#selection)) return;
      this.#selection = selection;
      this.#show();
      this.#onChange(selection);
    });
  }

  /** What is chosen now. */
  get selection() {
    return this.#selection;
  }

  /**
   * Take in which back ends an engine has here, disable the others and say why.
   * @param {string} engine
   * @param {BackendState[]} states
   */
  setBackends(engine, states) {
    this.#states.set(engine, states);
    this.#selection = { ...this.#selection, backend: this.#backend(this.#selection.variant) };
    this.#show();
  }

  /** Whether it is known which back ends an engine has here. @param {string} engine @returns {boolean} */
  knows(engine) {
    return this.#states.has(engine);
  }

  /** Stop trusting a back end with a variant. @param {Selection} selection @param {string} reason */
  reject({ variant, backend }, reason) {
    this.#rejected.set(rejectionKey(variant, backend), reason);
    this.#show();
  }

  /** The variants of the numbers that are chosen: the chosen one, then those of other engines. @returns {Variant[]} */
  get alike() {
    const { model, variant } = this.#selection;
    return [variant, ...model.variants.filter((other) => other !== variant && other.recipe === variant.recipe)];
  }

  /** Choose a variant on the first back end that is here and trusted; null where there is none. @param {Variant} variant */
  fallBack(variant) {
    const backend = this.#usable(variant)?.name;
    if (!backend) return null;
    this.#selection = { ...this.#selection, variant, backend };
    this.#show();
    return this.#selection;
  }

  /** @param {Variant} variant @returns {BackendState[] | undefined} */
  #statesOf(variant) {
    return this.#states.get(variant.engine)?.map((state) => {
      const reason = this.#rejected.get(rejectionKey(variant, state.name));
      return reason ? { ...state, available: false, reason } : state;
    });
  }

  /** @param {Variant} variant @returns {BackendState | undefined} */
  #usable(variant) {
    return this.#statesOf(variant)?.find(({ available }) => available);
  }

  /** @returns {import('../link.js').LinkRequest} */
  #request() {
    return { model: this.#selection.model.name, variant: this.#selection.variant.id, backend: this.#requested };
  }

  /** @param {import('../link.js').LinkRequest} request */
  #choose(request) {
    history.replaceState(null, '', writeLink({ backend: this.#requested, ...request }));
    this.#selection = this.#resolve(() => {});
    this.#show();
    this.#onChange(this.#selection);
  }

  /** @param {(problem: {message: string, hint: string}) => void} onProblem @returns {Selection} */
  #resolve(onProblem) {
    const request = readLink(location.hash);
    const { models } = this.#siteData;
    const model = models.find(({ name }) => name === request.model) ?? models[0];
    const variant = model.variants.find(({ id }) => id === request.variant) ?? model.variants[0];
    const known = this.#siteData.engines[variant.engine].backends;
    this.#requested = request.backend && known.includes(request.backend) ? request.backend : undefined;
    if (request.model && request.model !== model.name) {
      onProblem(
        missing(
          'model',
          request.model,
          models.map(({ name }) => name),
        ),
      );
    } else if (request.variant && request.variant !== variant.id) {
      onProblem(
        missing(
          'variant',
          request.variant,
          model.variants.map(({ id }) => id),
        ),
      );
    } else if (request.backend && !this.#requested) {
      onProblem(missing('backend', request.backend, known));
    }
    return { model, variant, backend: this.#backend(variant) };
  }

  /** The back end requested, else the first that works here, else the engine's first. @param {Variant} variant @returns {string} */
  #backend(variant) {
    const usable = this.#usable(variant)?.name;
    const requested =
      this.#requested && !this.#rejected.has(rejectionKey(variant, this.#requested)) ? this.#requested : undefined;
    return requested ?? usable ?? this.#requested ?? this.#siteData.engines[variant.engine].backends[0];
  }

  #show() {
    const { model, variant } = this.#selection;
    elements.model.value = model.name;
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-model]'))) {
      part.hidden = part.dataset.model !== model.name;
    }
    for (const radio of variantRadios()) {
      if (radio.name === `variant ${model.name}`) radio.checked = radio.value === variant.id;
    }
    this.#backends.show(variant.engine, this.#statesOf(variant), this.#selection.backend);
  }
}

/** Tell whether two selections are the same. @param {Selection} a @param {Selection} b @returns {boolean} */
export function sameSelection(a, b) {
  return a.model === b.model && a.variant === b.variant && a.backend === b.backend;
}

/** Two engines may load the same files. @param {Variant} variant @param {string} backend */
const rejectionKey = ({ engine, sha256 }, backend) => `${engine} ${sha256} ${backend}`;

/** Say on the button what loading costs. @param {Selection} selection @param {{loaded: boolean, picture: boolean}} now */
export function labelLoadButton({ variant }, { loaded, picture }) {
  const size = formatBytes(variant.bytes);
  if (loaded) elements.load.textContent = 'Load again to time the cold start';
  else elements.load.textContent = picture ? `Load and classify (${size})` : `Load the model (${size})`;
}

/** @returns {NodeListOf<HTMLInputElement>} */
function variantRadios() {
  return document.querySelectorAll('input[name^="variant "]');
}

/** @param {string} kind @param {string} requested @param {string[]} known */
function missing(kind, requested, known) {
  return {
    message: `The link requests the ${kind} “${requested}”, which this page does not have.`,
    hint: `Available: ${known.join(', ')}.`,
  };
}
