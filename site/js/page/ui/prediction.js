/** What the model predicts of a picture: the five most likely classes, or, for a model without classes, its embedding. */

import { elements, make } from './elements.js';
import { formatMs, formatPercent } from './figures.js';

export const RANKS = 5;
const SHOWN_VALUES = 8;

/** @typedef {import('../../common/protocol.js').Classification} Classification */

/** The embedding before the current one, to compare with. @type {{model: string, title: string, values: Float32Array} | null} */
let previous = null;

/** Put the dashes back. @param {string[]} [notices] what is known of the next picture already */
export function clearPrediction(notices = []) {
  elements.ranking.hidden = false;
  elements.embedding.hidden = true;
  showNotices(notices);
  elements.singleRun.textContent = '';
  elements.ranking.replaceChildren(...Array.from({ length: RANKS }, () => rank('–', null)));
}

/**
 * Show a prediction and return it in one sentence.
 * @param {import('../../common/site_data.js').Model} model
 * @param {Classification} classification
 * @param {import('./picture.js').Picture} picture
 * @returns {string}
 */
export function showPrediction(model, classification, { title, notices }) {
  const { logits, width, height, inference_ms, preprocess_ms } = classification;
  showNotices([...notices, ...classification.notices]);
  elements.singleRun.textContent =
    `Single run: ${formatMs(inference_ms)} in the model, ${formatMs(preprocess_ms)} to preprocess ` +
    `${width}×${height} pixels.`;
  elements.ranking.hidden = model.features;
  elements.embedding.hidden = !model.features;
  const sentence = model.features ? showEmbedding(model, logits, title) : showRanking(model, classification);
  elements.answer.scrollIntoView({ block: 'nearest' }); // on a phone it lies below the picture
  return sentence;
}

/** @param {string[]} notices */
function showNotices(notices) {
  elements.notices.replaceChildren(...notices.map((text) => make('li', { text })));
  elements.notices.hidden = notices.length === 0;
}

/**
 * @param {import('../../common/site_data.js').Model} model
 * @param {Classification} classification
 * @returns {string}
 */
function showRanking(model, { top, unknown }) {
  const named = top.map(({ index, probability }) => ({ label: model.labels[index] ?? `class ${index}`, probability }));
  elements.ranking.replaceChildren(...named.map(({ label, probability }) => rank(label, probability)));
  const [first] = named;
  const share = formatPercent(first.probability);
  const none = `Probably none of the ${model.labels.length} classes this model knows. The nearest: `;
  const lead = unknown ? none : 'Most likely: ';
  const sentence = model.outputs === 1 ? `${first.label}: ${share}.` : `${lead}${first.label}, ${share}.`;
  return model.weights === 'random' ? `${sentence} The weights are random, so this is meaningless.` : sentence;
}

/** @param {string} label @param {number | null} probability @returns {HTMLLIElement} */
function rank(label, probability) {
  const bar = make('span', { className: 'bar' });
  bar.ariaHidden = 'true';
  bar.style.setProperty('--share', String(probability ?? 0));
  const share = make('span', { className: 'share', text: probability === null ? '' : formatPercent(probability) });
  return make(
    'li',
    { className: probability === null ? 'blank' : '' },
    make('span', { className: 'label', text: label }),
    share,
    bar,
  );
}

/**
 * @param {import('../../common/site_data.js').Model} model
 * @param {Float32Array} values
 * @param {string} title
 * @returns {string}
 */
function showEmbedding(model, values, title) {
  const first = [...values.subarray(0, SHOWN_VALUES)].map((value) => value.toFixed(3)).join(', ');
  const lines = [
    `This model has no classes: it turns an image into ${values.length} numbers, and similar images into similar numbers.`,
    `Norm of this embedding: ${norm(values).toFixed(3)}. First values: ${first} …`,
  ];
  const other = previous?.model === model.name ? previous : null;
  const compared = other
    ? `Cosine similarity with the previous image, “${other.title}”: ${cosine(values, other.values).toFixed(4)}.`
    : 'Choose a second image to see how similar the two are.';
  elements.embedding.replaceChildren(...[...lines, compared].map((text) => make('p', { text })));
  previous = { model: model.name, title, values };
  return `Embedding of ${values.length} values. ${compared}`;
}

/** @param {Float32Array} values @returns {number} */
function norm(values) {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

/** @param {Float32Array} a @param {Float32Array} b @returns {number} */
function cosine(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0) / (norm(a) * norm(b));
}
