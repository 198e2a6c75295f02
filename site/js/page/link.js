/** What a link to this page asks for: `#model=fashion&variant=u8-tfjs&backend=wasm`. */

/** @typedef {{model?: string, variant?: string, backend?: string}} LinkRequest */

const KEYS = /** @type {const} */ (['model', 'variant', 'backend']);

/** Read a location hash; keys that are not there are left out. @param {string} hash @returns {LinkRequest} */
export function readLink(hash) {
  const values = new URLSearchParams(hash.replace(/^#/, ''));
  /** @type {LinkRequest} */
  const request = {};
  for (const key of KEYS) {
    const value = values.get(key);
    if (value) request[key] = value;
  }
  return request;
}

/** Return the hash that `readLink` reads back. @param {LinkRequest} request @returns {string} */
export function writeLink(request) {
  const values = new URLSearchParams();
  for (const key of KEYS) {
    const value = request[key];
    if (value) values.set(key, value);
  }
  return `#${values}`;
}
