/** The library's entry: loads a published model into a worker of its own. `vit-pages.d.ts` is its documentation. */

import { VitError } from '../common/errors.js';
import { Classifier } from './classifier.js';
import { connect } from './connect.js';
import { failure, forCaller, refuseUnknown, requireCount } from './errors.js';
import { chooseVariant, fetchManifest, resolve } from './manifest.js';

/** @typedef {import('./vit-pages.d.ts').LoadOptions} LoadOptions */

export { VitError };

export const version = LIBRARY_VERSION;

/** How the names of the caches of weights begin. */
const WEIGHTS = 'vit-pages:weights:';
const OPTIONS = ['variant', 'threads', 'signal', 'onProgress', 'assets'];

/** @type {typeof import('./vit-pages.d.ts').load} */
export async function load(manifest, options = {}) {
  refuseUnknown(options, OPTIONS, 'load()');
  const {
    variant: id,
    threads,
    signal,
    onProgress = () => {},
    assets = new URL('../assets/', import.meta.url),
  } = options;
  requireCount(threads, 'threads');
  if (typeof manifest !== 'string' && !(manifest instanceof URL))
    throw failure('bad_request', 'load() takes the address of a manifest, as text or URL.');
  /** @type {import('./connect.js').Rpc | undefined} */
  let rpc;
  try {
    const { model, base } = await fetchManifest(resolve(manifest), signal);
    const variant = chooseVariant(model, id);
    rpc = await connect(new URL(LIBRARY_WORKER, inFolder(assets)).href, signal);
    const request = { model, variant, backend: 'wasm', base, threads };
    const loaded = await rpc.call('load', request, { signal, onProgress });
    return new Classifier(rpc, model, variant, loaded);
  } catch (error) {
    rpc?.end(forCaller(error));
    throw forCaller(error);
  }
}

/** The address of a folder, with its final slash. @param {string | URL} folder @returns {URL} */
function inFolder(folder) {
  const url = resolve(folder);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** @type {typeof import('./vit-pages.d.ts').clearCache} */
export async function clearCache() {
  if (typeof caches === 'undefined') return;
  const names = (await caches.keys()).filter((name) => name.startsWith(WEIGHTS));
  await Promise.all(names.map((name) => caches.delete(name)));
}
