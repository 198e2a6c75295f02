/**
 * Starts module workers, also where the script lies on another origin, from which browsers start none: there, a worker of
 * the page's own imports the script, which the host must allow (CORS).
 */

/** Whether a worker for the script must be indirect, as all are that an indirect worker starts. @param {string} script */
export function isForeign(script) {
  const { location } = globalThis;
  if (!location) return false; // Node
  return location.protocol === 'blob:' || new URL(script, location.href).origin !== globalThis.origin;
}

/**
 * Start a worker, which must post something once it runs.
 * @param {string} script absolute URL
 * @param {boolean} [indirect] whether a worker of the page's own is to import the script
 * @returns {Worker}
 */
export function startWorker(script, indirect = isForeign(script)) {
  if (!indirect) return new Worker(script, { type: 'module' });
  const source = new Blob([`import ${JSON.stringify(script)};\n`], { type: 'text/javascript' });
  const address = URL.createObjectURL(source);
  const worker = new Worker(address, { type: 'module' });
  // Some browsers read the address only after the constructor has returned.
  for (const type of ['message', 'error'])
    worker.addEventListener(type, () => URL.revokeObjectURL(address), { once: true });
  return worker;
}
