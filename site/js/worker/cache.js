/**
 * Fetches a variant's files, verifies each by its SHA-256, and keeps the verified ones in the browser's Cache API.
 *
 * Sizes come from the site's own manifest: hosts compress, so Content-Length is not the number of bytes that arrive.
 * Each site has a cache of its own, also beside others of its origin. Entries are keyed by hash, so a file that two
 * variants share is fetched once.
 */

import { asVitError, throwIfAborted, VitError } from '../common/errors.js';
import { sha256Of } from '../common/sha256.js';
import { weightsCache } from '../common/weights_cache.js';

/** Files fetched at the same time. */
const PARALLEL = 4;

/**
 * @typedef {import('../common/site_data.js').FileRecord} FileRecord
 *
 * @typedef {object} Fetched
 * @property {Map<string, Uint8Array<ArrayBuffer>>} files verified bytes by path
 * @property {boolean} from_cache whether nothing had to be downloaded
 * @property {string[]} notices what a visitor should know, e.g. that storage is full
 *
 * The part of the Cache API that is used.
 * @typedef {object} Store
 * @property {(url: string) => Promise<Response | undefined>} match
 * @property {(url: string, response: Response) => Promise<void>} put
 * @property {(url: string) => Promise<boolean>} delete
 *
 * `site` is the absolute URL of the site's root, with a final slash; left out, the folder's.
 * @typedef {{site?: string, onProgress?: (loaded: number, total: number) => void, signal?: AbortSignal}} FetchOptions
 */

/** The Cache API refuses other schemes than http(s); the name is reserved and never resolves. @param {string} sha256 */
const keyOf = (sha256) => `https://vit-pages.invalid/sha256/${sha256}`;

/** Verified files, from the cache where they are there and from the network where not. */
export class FileCache {
  /**
   * @param {{openStore?: (site: string) => Promise<Store>}} [options] `openStore` replaces the browser's Cache API where
   *   there is none (Node); it is opened once for each fetch
   */
  constructor({ openStore = (site) => caches.open(weightsCache(site)) } = {}) {
    this.openStore = openStore;
  }

  /**
   * Return all files, verified.
   *
   * Raises `insecure_context`, `http_error`, `html_instead`, `wrong_length`, `hash_mismatch`, `network_lost` or
   * `aborted`; the files verified by then stay cached, so that the next try goes on from there.
   * @param {string} folder URL of the folder, with a final slash
   * @param {FileRecord[]} records
   * @param {FetchOptions} [options]
   * @returns {Promise<Fetched>}
   */
  async fetch(folder, records, { site = folder, onProgress = () => {}, signal } = {}) {
    if (!globalThis.crypto?.subtle) {
      throw new VitError(
        'insecure_context',
        'The files cannot be verified: browsers offer SHA-256 only on secure pages (https:// or http://localhost).',
      );
    }
    const stop = new AbortController();
    signal?.addEventListener('abort', () => stop.abort(), { signal: stop.signal });
    throwIfAborted(signal);
    const total = records.reduce((sum, { bytes }) => sum + bytes, 0);
    let loaded = 0;
    /** @type {Transfer} */
    const transfer = {
      folder,
      signal: stop.signal,
      notices: new Set(),
      store: null,
      downloaded: 0,
      count: (bytes) => {
        loaded += bytes;
        onProgress(loaded, total);
      },
    };
    transfer.store = await this.open(site, transfer.notices);
    onProgress(0, total);
    const files = await inParallel(records, (record) => readFile(record, transfer), stop);
    return { files: new Map(files), from_cache: transfer.downloaded === 0, notices: [...transfer.notices] };
  }

  /** @param {string} site @param {Set<string>} notices @returns {Promise<Store | null>} */
  async open(site, notices) {
    try {
      return await this.openStore(site);
    } catch {
      notices.add('This browser keeps no files for this page; the model is downloaded again each time.');
      return null;
    }
  }

  /** Delete every file that a site keeps, and nothing of others on its origin. @param {string} site @returns {Promise<void>} */
  async clear(site) {
    if (typeof caches !== 'undefined') await caches.delete(weightsCache(site));
  }
}

/**
 * One fetch of many files.
 * @typedef {object} Transfer
 * @property {string} folder
 * @property {AbortSignal} signal
 * @property {Set<string>} notices
 * @property {Store | null} store
 * @property {number} downloaded files that came from the network
 * @property {(bytes: number) => void} count more bytes are there (or, negative, are to be fetched again)
 */

/**
 * Run the tasks, `PARALLEL` at a time; after a failure stop the others and raise the first one's error.
 * @template T, R
 * @param {T[]} items
 * @param {(item: T) => Promise<R>} task
 * @param {AbortController} stop
 * @returns {Promise<R[]>}
 */
async function inParallel(items, task, stop) {
  /** @type {R[]} */
  const results = [];
  let next = 0;
  const runner = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await task(items[index]);
    }
  };
  /** @type {unknown[]} */
  const errors = [];
  const runners = Array.from({ length: Math.min(PARALLEL, items.length) }, () =>
    runner().catch((error) => {
      errors.push(error);
      next = items.length;
      stop.abort();
    }),
  );
  await Promise.all(runners);
  if (errors.length > 0) throw errors[0];
  return results;
}

/** @param {FileRecord} record @param {Transfer} transfer @returns {Promise<[string, Uint8Array<ArrayBuffer>]>} */
async function readFile(record, transfer) {
  throwIfAborted(transfer.signal);
  const cached = await readCached(record, transfer);
  if (cached) {
    transfer.count(record.bytes);
    return [record.path, cached];
  }
  const bytes = await download(record, transfer);
  transfer.downloaded++;
  await verify(bytes, record);
  await writeCached(bytes, record, transfer);
  return [record.path, bytes];
}

/**
 * Return the cached bytes when they are still right; evict them when not.
 * @param {FileRecord} record
 * @param {Transfer} transfer
 */
async function readCached({ path, bytes, sha256 }, { store, notices }) {
  const response = await store?.match(keyOf(sha256));
  if (!store || !response) return null;
  const cached = new Uint8Array(await response.arrayBuffer());
  if (cached.length === bytes && (await sha256Of(cached)) === sha256) return cached;
  await store.delete(keyOf(sha256));
  notices.add(`The cached copy of ${path} was damaged; it was downloaded again.`);
  return null;
}

/** @param {FileRecord} record @param {Transfer} transfer @returns {Promise<Uint8Array<ArrayBuffer>>} */
async function download(record, { folder, signal, count }) {
  const url = new URL(record.path, folder);
  let received = 0;
  try {
    // Not through the HTTP cache: a wrong answer would stay there, and a right one would be stored twice.
    const response = await fetch(url, { signal, cache: 'no-store' });
    checkResponse(response, record);
    const bytes = new Uint8Array(record.bytes);
    for await (const chunk of chunksOf(response)) {
      if (received + chunk.length > record.bytes)
        throw wrongBody(received === 0 ? chunk : bytes, record, `more than ${record.bytes}`);
      bytes.set(chunk, received);
      received += chunk.length;
      count(chunk.length);
    }
    if (received < record.bytes) throw wrongBody(bytes, record, `only ${received}`);
    return bytes;
  } catch (error) {
    if (error instanceof VitError) throw error;
    throwIfAborted(signal);
    const state = received > 0 ? `was lost after ${received} of ${record.bytes} bytes` : 'failed';
    throw new VitError('network_lost', `The connection for ${record.path} ${state}.`, { cause: error });
  }
}

/** @param {Response} response @returns {AsyncGenerator<Uint8Array>} */
async function* chunksOf(response) {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } finally {
    // After an early end the rest of the body must not keep on arriving; when it has ended this does nothing.
    reader.cancel().catch(() => {});
  }
}

/** @param {Response} response @param {FileRecord} record */
function checkResponse({ ok, status, headers }, { path }) {
  if (!ok) {
    const hint = status === 404 ? 'Reload the page: the site may just have been updated.' : undefined;
    throw new VitError('http_error', `The server returned status ${status} for ${path}.`, { hint });
  }
  if (headers.get('content-type')?.startsWith('text/html')) {
    throw new VitError('html_instead', `The server sent a web page instead of ${path}.`);
  }
}

/**
 * The error for a body that is too long or too short.
 * @param {Uint8Array} begin
 * @param {FileRecord} record
 * @param {string} found
 */
function wrongBody(begin, { path, bytes }, found) {
  if (looksLikeHtml(begin)) return new VitError('html_instead', `The server sent a web page instead of ${path}.`);
  return new VitError('wrong_length', `${path} should have ${bytes} bytes; ${found} were received.`);
}

/** @param {Uint8Array} bytes @returns {boolean} */
function looksLikeHtml(bytes) {
  return /^\s*<(!doctype|html|head|body)/i.test(new TextDecoder().decode(bytes.subarray(0, 200)));
}

/** @param {Uint8Array<ArrayBuffer>} bytes @param {FileRecord} record */
async function verify(bytes, { path, sha256 }) {
  const found = await sha256Of(bytes);
  if (found === sha256) return;
  if (looksLikeHtml(bytes)) throw new VitError('html_instead', `The server sent a web page instead of ${path}.`);
  throw new VitError(
    'hash_mismatch',
    `${path} is not the published file: its SHA-256 begins ${found.slice(0, 12)}, not ${sha256.slice(0, 12)}.`,
  );
}

/** @param {Uint8Array<ArrayBuffer>} bytes @param {FileRecord} record @param {Transfer} transfer */
async function writeCached(bytes, { sha256 }, { store, notices }) {
  try {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(bytes.length) };
    await store?.put(keyOf(sha256), new Response(bytes, { headers }));
  } catch (error) {
    notices.add(
      `The browser did not keep the model (${asVitError(error).message}); it will be downloaded again next time.`,
    );
  }
}
