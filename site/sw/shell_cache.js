/** The cache for visits without a network: files are fetched, compared with their SHA-256, and only then stored. */

import { cachePrefix } from '../js/common/service_worker.js';
import { sha256Of } from '../js/common/sha256.js';

/**
 * What one version of the site keeps; versions differ by their digest.
 * @typedef {object} Shell
 * @property {string} folder the site's URL, with a final slash
 * @property {string} digest
 * @property {Record<string, string>} files path inside the folder → SHA-256
 * @property {Record<string, string>} later the same, of files that are kept once they are used
 */

/** @param {Shell} shell */
const nameOf = ({ folder, digest }) => cachePrefix(folder) + digest;

/**
 * Fetch, verify and store every file, and what an earlier version kept of those for later; on any failure nothing of it
 * is stored, and an error is raised.
 * @param {Shell} shell
 */
export async function precache(shell) {
  const earlier = await ownCaches(shell.folder);
  const name = nameOf(shell);
  const found = await Promise.all([
    ...Object.entries(shell.files).map(([path, sha256]) =>
      findFile(shell, path, sha256, [...cacheSources(earlier), ...NETWORK]),
    ),
    ...Object.entries(shell.later).map(([path, sha256]) => findFile(shell, path, sha256, cacheSources(earlier))),
  ]);
  const missing = Object.keys(shell.files).find((_, index) => !found[index].response);
  if (missing) throw new Error(`${missing} is not the published file`);
  try {
    const cache = await caches.open(name);
    await Promise.all(found.map(({ url, response }) => response && cache.put(url, response)));
  } catch (error) {
    if (!earlier.includes(name)) await caches.delete(name);
    throw error;
  }
}

/**
 * Store a file for later from a response that is being used, if it is the published one.
 * @param {Shell} shell
 * @param {string} path
 * @param {Response} response a copy
 */
export async function cacheUsed(shell, path, response) {
  const { url, response: right } = await findFile(shell, path, shell.later[path], [async () => response]);
  if (right) await (await caches.open(nameOf(shell))).put(url, right);
}

/** Delete what earlier versions of this site kept, and nothing of other sites. @param {Shell} shell */
export async function deleteOldCaches(shell) {
  const others = (await ownCaches(shell.folder)).filter((name) => name !== nameOf(shell));
  await Promise.all(others.map((name) => caches.delete(name)));
}

/** Return what this version kept of a file, if it is still there. @param {Shell} shell @param {string} path */
export async function readCached(shell, path) {
  try {
    return await caches.match(new URL(path, shell.folder).href, { cacheName: nameOf(shell) });
  } catch {
    return undefined; // storage that fails is as good as empty: the network answers
  }
}

/** @param {string} folder @returns {Promise<string[]>} */
async function ownCaches(folder) {
  return (await caches.keys()).filter((name) => name.startsWith(cachePrefix(folder)));
}

/** Where a file can come from. @typedef {(url: string) => Promise<Response | undefined>} Source */

/** The host; the browser's own cache may be older than the site, for minutes. @type {Source[]} */
const NETWORK = [(url) => fetch(url), (url) => fetch(url, { cache: 'reload' })];

/** @param {string[]} names of caches @returns {Source[]} */
const cacheSources = (names) => names.map((cacheName) => (url) => caches.match(url, { cacheName }));

/**
 * Return a file's address, and its right bytes from the first source that has them, if one has.
 * @param {Shell} shell
 * @param {string} path
 * @param {string} sha256
 * @param {Source[]} sources
 * @returns {Promise<{url: string, response: Response | null}>}
 */
async function findFile({ folder }, path, sha256, sources) {
  const url = new URL(path, folder).href;
  for (const open of sources) {
    const response = await open(url);
    if (!response?.ok) continue;
    const bytes = new Uint8Array(await response.arrayBuffer());
    if ((await sha256Of(bytes)) === sha256)
      return { url, response: new Response(bytes, { headers: storableHeaders(response.headers) }) };
  }
  return { url, response: null };
}

/** The headers that are still true of unpacked, stored bytes. @param {Headers} headers @returns {Headers} */
function storableHeaders(headers) {
  const kept = new Headers(headers);
  for (const name of ['content-encoding', 'content-length', 'vary']) kept.delete(name);
  return kept;
}
