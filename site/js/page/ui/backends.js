/** The back ends of an engine as radio buttons; those that are not available here are disabled and say why. */

import { elements, make } from './elements.js';

/** @typedef {import('../../common/protocol.js').BackendState} BackendState */

/** The radio buttons of one engine at a time. */
export class BackendControls {
  /** @type {Map<string, {radio: HTMLInputElement, reason: HTMLElement}>} */
  #rows = new Map();
  #engine = '';
  /** @type {import('../../common/site_data.js').SiteData} */
  #siteData;
  /** @type {(backend: string) => void} */
  #onPick;

  /** @param {import('../../common/site_data.js').SiteData} siteData @param {(backend: string) => void} onPick */
  constructor(siteData, onPick) {
    this.#siteData = siteData;
    this.#onPick = onPick;
  }

  /**
   * Show an engine's back ends with the chosen one marked.
   * @param {string} engine
   * @param {BackendState[] | undefined} states undefined while it is not yet known what works here
   * @param {string} chosen
   */
  show(engine, states, chosen) {
    if (engine !== this.#engine) this.#build(engine);
    for (const [name, { radio, reason }] of this.#rows) {
      const { available, text } = describe(states, name);
      radio.checked = name === chosen;
      radio.disabled = !available;
      reason.textContent = text;
    }
  }

  /** @param {string} engine */
  #build(engine) {
    this.#engine = engine;
    this.#rows.clear();
    const options = this.#siteData.engines[engine].backends.map((name) => {
      const radio = make('input');
      Object.assign(radio, { type: 'radio', id: `backend-${name}`, name: 'backend', value: name, autocomplete: 'off' });
      radio.addEventListener('change', () => this.#onPick(name));
      const label = make('label', { text: this.#siteData.backends[name] ?? name });
      label.htmlFor = radio.id;
      const reason = make('p', { className: 'fine' });
      reason.id = `${radio.id}-reason`;
      radio.setAttribute('aria-describedby', reason.id);
      this.#rows.set(name, { radio, reason });
      return make('div', { className: 'option' }, radio, label, reason);
    });
    elements.backends.replaceChildren(...options);
  }
}

/** @param {BackendState[] | undefined} states @param {string} name @returns {{available: boolean, text: string}} */
function describe(states, name) {
  if (!states) return { available: true, text: 'Checking availability …' };
  const state = states.find((one) => one.name === name);
  if (!state) return { available: false, text: 'Not available: this engine does not support it.' };
  return { available: state.available, text: state.available ? state.reason : `Not available: ${state.reason}` };
}
