/**
 * Where a worker's script can be started from. Browsers start none from another origin; its text, which the host must
 * allow to be read (CORS), is started as the page's own. Such a script must be whole, without imports.
 */

/**
 * Whether a script must be started by its text, as must all that a worker starts which was itself.
 * @param {string} script
 * @returns {boolean}
 */
export function isForeign(script) {
  const { location } = globalThis;
  if (!location) return false; // Node
  return location.protocol === 'blob:' || new URL(script, location.href).origin !== globalThis.origin;
}

/**
 * Return an address to start module workers from, valid until it is closed; raises an error when the text cannot be had.
 * @param {string} script absolute URL
 * @param {boolean} [byText]
 * @returns {Promise<{address: string, close: () => void}>}
 */
export async function openScript(script, byText = isForeign(script)) {
  if (!byText) return { address: script, close: () => {} };
  const response = await fetch(script);
  if (!response.ok) throw new Error(`the server returned status ${response.status} for ${script}`);
  const text = new Blob([await response.text()], { type: 'text/javascript' });
  const address = URL.createObjectURL(text);
  return { address, close: () => URL.revokeObjectURL(address) };
}
