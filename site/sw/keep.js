/** The files kept for visits without a network: fetched, compared with their SHA-256, and only then stored. */

import { sha256Of } from '../js/cache.js';
import { cachePrefix } from './terms.js';

/**
 * What one version of the site keeps; versions differ by their digest.
 * @typedef {object} Shell
 * @property {string} folder the site's URL, with a final slash
 * @property {string} digest
 * @property {Record<string, string>} files path inside the folder → SHA-256
 */

/** @param {Shell} shell */
const nameOf = ({ folder, digest }) => cachePrefix(folder) + digest;

/**
 * Fetch, verify and store every file; on any failure nothing of it is stored, and an error is raised.
 * @param {Shell} shell
 */
export async function keepShell(shell) {
  const earlier = await ownCaches(shell.folder);
  const verified = await Promise.all(
    Object.entries(shell.files).map(async ([path, sha256]) => {
      const url = new URL(path, shell.folder).href;
      return { url, answer: await findVerified(url, sha256, earlier) };
    }),
  );
  const name = nameOf(shell);
  try {
    const cache = await caches.open(name);
    await Promise.all(verified.map(({ url, answer }) => cache.put(url, answer)));
  } catch (error) {
    if (!earlier.includes(name)) await caches.delete(name);
    throw error;
  }
}

/** Delete what earlier versions of this site kept, and nothing of other sites. @param {Shell} shell */
export async function dropEarlier(shell) {
  const others = (await ownCaches(shell.folder)).filter((name) => name !== nameOf(shell));
  await Promise.all(others.map((name) => caches.delete(name)));
}

/** Return what this version kept of a file, if it is still there. @param {Shell} shell @param {string} path */
export async function readKept(shell, path) {
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

/**
 * Return a file's right bytes: kept by an earlier version, out of the browser's own cache, or from the host.
 * @param {string} url
 * @param {string} sha256
 * @param {string[]} earlier names of caches
 * @returns {Promise<Response>}
 */
async function findVerified(url, sha256, earlier) {
  const sources = [
    ...earlier.map((cacheName) => () => caches.match(url, { cacheName })),
    () => fetch(url),
    () => fetch(url, { cache: 'reload' }), // the browser's own cache may be older than the site, for minutes
  ];
  for (const open of sources) {
    const answer = await open();
    if (!answer?.ok) continue;
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if ((await sha256Of(bytes)) === sha256) return new Response(bytes, { headers: lasting(answer.headers) });
  }
  throw new Error(`${url} is not the published file`);
}

/** The headers that are still true of unpacked, stored bytes. @param {Headers} headers @returns {Headers} */
function lasting(headers) {
  const kept = new Headers(headers);
  for (const name of ['content-encoding', 'content-length', 'vary']) kept.delete(name);
  return kept;
}
