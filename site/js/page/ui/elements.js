/** The page's elements, found by id once; one that is missing or of another kind is an error at once. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no ${kind.name} “${id}”.`);
  return element;
}

export const elements = {
  answer: find('answer', HTMLElement),
  backends: find('backends', HTMLElement),
  cancel: find('cancel', HTMLButtonElement),
  cold: find('cold', HTMLElement),
  copied: find('copied', HTMLElement),
  copy: find('copy', HTMLButtonElement),
  device: find('device', HTMLElement),
  download: find('download', HTMLProgressElement),
  downloadBytes: find('download-bytes', HTMLElement),
  dropVeil: find('drop-veil', HTMLElement),
  embedding: find('embedding', HTMLElement),
  file: find('file', HTMLInputElement),
  forget: find('forget', HTMLButtonElement),
  frameHint: find('frame-hint', HTMLElement),
  loadNote: find('load-note', HTMLElement),
  load: find('load', HTMLButtonElement),
  measure: find('measure', HTMLButtonElement),
  model: find('model', HTMLSelectElement),
  notices: find('notices', HTMLElement),
  paste: find('paste', HTMLButtonElement),
  preview: find('preview', HTMLImageElement),
  problem: find('problem', HTMLElement),
  problemHint: find('problem-hint', HTMLElement),
  problemMessage: find('problem-message', HTMLElement),
  progress: find('progress', HTMLElement),
  ranking: find('ranking', HTMLElement),
  refusals: find('refusals', HTMLElement),
  reload: find('reload', HTMLButtonElement),
  retry: find('retry', HTMLButtonElement),
  save: find('save', HTMLButtonElement),
  singleRun: find('single-run', HTMLElement),
  state: find('state', HTMLElement),
  warm: find('warm', HTMLElement),
  warmNote: find('warm-note', HTMLElement),
};

/**
 * Make an element with text and children; text is only ever text, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {{className?: string, text?: string}} [options]
 * @param {...Node} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, { className, text } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}
