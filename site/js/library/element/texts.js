/** What the element says; each text can be given in another language by an attribute: `text-choose="Bild wählen"`. */

/** @type {Record<string, string>} */
export const TEXTS = {
  label: 'Image classifier',
  hint: 'Drop an image here, paste one, or choose a file.',
  choose: 'Choose an image',
  paste: 'Paste',
  camera: 'Use the camera',
  take: 'Take the picture',
  stop: 'Stop the camera',
  cancel: 'Cancel',
  preview: 'Your image',
  video: 'What the camera sees',
  results: 'Most likely classes',
  progress: 'Download of the model',
  ready: 'Ready.',
  download: 'Downloading the model …',
  prepare: 'Preparing the model …',
  run: 'Classifying …',
  live: 'The camera is on.',
  answer: 'Most likely: {label}, {probability}.',
  unknown: 'Probably none of the {count} classes this model knows. The nearest: {label}, {probability}.',
  embedding: 'The model has no classes; it returned {count} numbers.',
  random: 'The weights of this model are random: its predictions are meaningless.',
  several: '{count} files were given: only the first one is classified.',
  cancelled: 'Cancelled.',
  failed: 'That did not work.',
};

/** The attribute that replaces a text. @param {string} name */
export const attributeOf = (name) => `text-${name}`;

/** Begins the attributes that replace what an error says, by its code: `text-error-not-an-image`. */
const OF_ERRORS = 'error-';

/**
 * Return a text, in the element's words where it has them.
 * @param {Element} element
 * @param {string} name a key of `TEXTS`
 * @param {Record<string, string | number>} [values] put in place of `{name}`
 * @returns {string}
 */
export function textOf(element, name, values = {}) {
  const text = element.getAttribute(attributeOf(name)) ?? TEXTS[name];
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

/**
 * Return what an error says: in the element's words where it has them, else the error's own message and hint.
 * @param {Element} element
 * @param {import('../../common/errors.js').VitError} error
 * @returns {{message: string, hint: string}}
 */
export function describeError(element, { code, message, hint }) {
  const own = element.getAttribute(attributeOf(OF_ERRORS + code.replaceAll('_', '-')));
  return own === null ? { message, hint } : { message: own, hint: '' };
}

/** Return the attributes that replace no text: misspelt, they would be passed over in silence. @param {Element} element */
export function unknownTexts(element) {
  const begin = attributeOf('');
  return element
    .getAttributeNames()
    .filter((name) => name.startsWith(begin) && !name.startsWith(attributeOf(OF_ERRORS)))
    .filter((name) => !Object.hasOwn(TEXTS, name.slice(begin.length)));
}

/** A share of 0 … 1 as people of the element's language write it. @param {Element} element @param {number} share */
export function percent(element, share) {
  const language = element.closest('[lang]')?.getAttribute('lang') || undefined;
  const style = /** @type {const} */ ({ style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 });
  try {
    return new Intl.NumberFormat(language, style).format(share);
  } catch {
    return new Intl.NumberFormat(undefined, style).format(share); // the page's lang is none
  }
}
