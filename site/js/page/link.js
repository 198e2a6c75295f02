/** What a link to this page asks for: `#model=fashion&variant=u8-tfjs&backend=wasm`. */

/** @typedef {{model?: string, variant?: string, backend?: string}} Wish */

const KEYS = /** @type {const} */ (['model', 'variant', 'backend']);

/** Read a location hash; keys that are not there are left out. @param {string} hash @returns {Wish} */
export function readLink(hash) {
  const values = new URLSearchParams(hash.replace(/^#/, ''));
  /** @type {Wish} */
  const wish = {};
  for (const key of KEYS) {
    const value = values.get(key);
    if (value) wish[key] = value;
  }
  return wish;
}

/** Return the hash that `readLink` reads back. @param {Wish} wish @returns {string} */
export function writeLink(wish) {
  const values = new URLSearchParams();
  for (const key of KEYS) {
    const value = wish[key];
    if (value) values.set(key, value);
  }
  return `#${values}`;
}
