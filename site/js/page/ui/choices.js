/** Which model, variant and back end: the controls, the link that carries them, and what is not available here. */

import { readLink, writeLink } from '../link.js';
import { BackendControls } from './backends.js';
import { elements } from './elements.js';
import { formatBytes } from './figures.js';

/**
 * @typedef {import('../../shared/site_data.js').SiteData} Catalog
 * @typedef {import('../../shared/site_data.js').Model} Model
 * @typedef {import('../../shared/site_data.js').Variant} Variant
 * @typedef {import('../../shared/protocol.js').BackendState} BackendState
 * @typedef {{model: Model, variant: Variant, backend: string}} Selection
 */

/** The controls of one catalog, and what they say. */
export class Choices {
  /** @type {Map<string, BackendState[]>} by engine */
  #states = new Map();
  /** @type {Map<string, string>} why a back end is not trusted, by variant and back end */
  #refused = new Map();
  /** @type {string | undefined} the back end that was asked for, by link or by hand */
  #asked;
  /** @type {Selection} */
  #selection;
  /** @type {(selection: Selection) => void} */
  #onChange;
  /** @type {Catalog} */
  #catalog;
  /** @type {BackendControls} */
  #backends;

  /**
   * @param {Catalog} catalog
   * @param {(selection: Selection) => void} onChange
   * @param {(problem: {message: string, hint: string}) => void} onProblem for a link that asks for what is not here
   */
  constructor(catalog, onChange, onProblem) {
    this.#catalog = catalog;
    this.#onChange = onChange;
    this.#backends = new BackendControls(catalog, (backend) => this.#choose({ ...this.#wish(), backend }));
    this.#selection = this.#resolve(onProblem);
    this.#show();
    elements.model.addEventListener('change', () => this.#choose({ model: elements.model.value }));
    for (const radio of variantRadios()) {
      radio.addEventListener('change', () => this.#choose({ ...this.#wish(), variant: radio.value }));
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

  /** Trust a back end no more with a variant. @param {Selection} selection @param {string} reason */
  refuse({ variant, backend }, reason) {
    this.#refused.set(refusalKey(variant, backend), reason);
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
      const reason = this.#refused.get(refusalKey(variant, state.name));
      return reason ? { ...state, available: false, reason } : state;
    });
  }

  /** @param {Variant} variant @returns {BackendState | undefined} */
  #usable(variant) {
    return this.#statesOf(variant)?.find(({ available }) => available);
  }

  /** @returns {import('../link.js').Wish} */
  #wish() {
    return { model: this.#selection.model.name, variant: this.#selection.variant.id, backend: this.#asked };
  }

  /** @param {import('../link.js').Wish} wish */
  #choose(wish) {
    history.replaceState(null, '', writeLink({ backend: this.#asked, ...wish }));
    this.#selection = this.#resolve(() => {});
    this.#show();
    this.#onChange(this.#selection);
  }

  /** @param {(problem: {message: string, hint: string}) => void} onProblem @returns {Selection} */
  #resolve(onProblem) {
    const wish = readLink(location.hash);
    const { models } = this.#catalog;
    const model = models.find(({ name }) => name === wish.model) ?? models[0];
    const variant = model.variants.find(({ id }) => id === wish.variant) ?? model.variants[0];
    const known = this.#catalog.engines[variant.engine].backends;
    this.#asked = wish.backend && known.includes(wish.backend) ? wish.backend : undefined;
    if (wish.model && wish.model !== model.name) {
      onProblem(
        missing(
          'model',
          wish.model,
          models.map(({ name }) => name),
        ),
      );
    } else if (wish.variant && wish.variant !== variant.id) {
      onProblem(
        missing(
          'variant',
          wish.variant,
          model.variants.map(({ id }) => id),
        ),
      );
    } else if (wish.backend && !this.#asked) {
      onProblem(missing('back end', wish.backend, known));
    }
    return { model, variant, backend: this.#backend(variant) };
  }

  /** The back end asked for, else the first that works here, else the engine's first. @param {Variant} variant @returns {string} */
  #backend(variant) {
    const usable = this.#usable(variant)?.name;
    const asked = this.#asked && !this.#refused.has(refusalKey(variant, this.#asked)) ? this.#asked : undefined;
    return asked ?? usable ?? this.#asked ?? this.#catalog.engines[variant.engine].backends[0];
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

/** @param {Variant} variant @param {string} backend */
const refusalKey = ({ sha256 }, backend) => `${sha256} ${backend}`;

/** Say on the button what loading costs. @param {Selection} selection @param {{loaded: boolean, picture: boolean}} now */
export function labelLoadButton({ variant }, { loaded, picture }) {
  const size = formatBytes(variant.bytes);
  if (loaded) elements.load.textContent = 'Load again, to time the start';
  else elements.load.textContent = picture ? `Load and classify (${size})` : `Load the model (${size})`;
}

/** @returns {NodeListOf<HTMLInputElement>} */
function variantRadios() {
  return document.querySelectorAll('input[name^="variant "]');
}

/** @param {string} kind @param {string} asked @param {string[]} known */
function missing(kind, asked, known) {
  return {
    message: `The link asks for the ${kind} “${asked}”, which is not here.`,
    hint: `Here are: ${known.join(', ')}.`,
  };
}
