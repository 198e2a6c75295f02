/** What the page and its service worker agree on; both use this module. */

/**
 * What the service worker does with headers.
 *
 * - `isolate`: adds those that allow threads, because the host sends none
 * - `host`: the host isolates the page; scripts that were kept get the header without which such a page refuses them
 * - `plain`: none at all; the page is kept for visits without a network and runs on one thread
 *
 * @typedef {'isolate' | 'host' | 'plain'} Mode
 */

/** @type {readonly Mode[]} */
const MODES = ['isolate', 'host', 'plain'];

/** The service worker's URL carries its mode, so that the browser itself remembers it. @param {string} script @param {Mode} mode */
export function withMode(script, mode) {
  const url = new URL(script);
  url.searchParams.set('mode', mode);
  return url.href;
}

/** The mode a service worker's URL carries; `plain` for any other. @param {string} script @returns {Mode} */
export function modeOf(script) {
  const requested = new URL(script).searchParams.get('mode');
  return MODES.find((mode) => mode === requested) ?? 'plain';
}

/** Whether the page's address asks for no isolation: `?isolation=off`. @param {string} address @returns {boolean} */
export function isOptedOut(address) {
  return new URL(address).searchParams.get('isolation') === 'off';
}

/**
 * The first part of the names of a site's caches; sites of one origin differ by their folder.
 * @param {string} folder absolute URL, with a final slash
 * @returns {string}
 */
export function cachePrefix(folder) {
  return `vit-pages:shell:${encodeURIComponent(new URL(folder).pathname)}:`;
}
