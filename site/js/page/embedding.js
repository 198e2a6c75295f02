/** The page in other people's pages: the classifier alone, for an iframe, and the texts that put it there. */

import { readLink } from './link.js';
import { make } from './ui/elements.js';

/** @typedef {import('../common/site_data.js').SiteData} SiteData */

/** What the page around this one is told, so that the iframe can be made to fit: `{type, height}`. */
const SIZE_MESSAGE = 'vit-pages:size';

/**
 * Where the address asks for it (`?embed`), show the classifier alone and return whether the library's element is it. It
 * is for a model with a variant that the library runs, unless the link asks for another; else it is the page's own.
 * @param {SiteData} siteData
 * @returns {boolean}
 */
export function embed({ assets: { library }, models }) {
  fillSnippets();
  if (!new URLSearchParams(location.search).has('embed')) return false;
  document.documentElement.classList.add('embedded');
  reportSize();
  const { model: name, variant } = readLink(location.hash);
  const model = models.find((one) => name === undefined || one.name === name);
  const runs = model?.variants.some(({ id, engine }) => engine === library?.engine && (variant ?? id) === id);
  if (!library || !model || !runs) return false;
  const element = document.createElement('vit-classifier');
  element.setAttribute('src', model.manifest);
  if (variant) element.setAttribute('variant', variant);
  document.querySelector('main')?.replaceChildren(make('h1', { className: 'unseen', text: model.title }), element);
  import(new URL(library.element, document.baseURI).href);
  return true;
}

/** Tell the page around this one how high this one is, now and whenever that changes; nothing else is told. */
function reportSize() {
  if (window.parent === window) return;
  const tell = () => {
    const height = Math.ceil(document.documentElement.getBoundingClientRect().height);
    window.parent.postMessage({ type: SIZE_MESSAGE, height }, '*');
  };
  new ResizeObserver(tell).observe(document.documentElement);
}

/** The texts to copy have this site's own address, which the renderer does not know. */
function fillSnippets() {
  const base = new URL('./', document.baseURI).href;
  for (const code of document.querySelectorAll('[data-snippet]'))
    code.textContent = (code.textContent ?? '').replaceAll('src="', `src="${base}`);
  for (const button of document.querySelectorAll('[data-copy]')) button.addEventListener('click', () => copy(button));
}

/** Copy the text before a button, or select it where the browser does not allow that. @param {Element} button */
async function copy(button) {
  const code = button.parentElement?.previousElementSibling;
  if (!code) return;
  try {
    await navigator.clipboard.writeText(code.textContent ?? '');
    button.textContent = 'Copied';
  } catch {
    getSelection()?.selectAllChildren(code);
    button.textContent = 'Selected: copy it with the keyboard';
  }
}
