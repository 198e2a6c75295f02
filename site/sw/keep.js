/** The files kept for visits without a network: fetched, compared with their SHA-256, and only then stored. */

import { cachePrefix } from '../js/shared/service_worker.js';
import { sha256Of } from '../js/shared/sha256.js';

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
export async function keepShell(shell) {
  const earlier = await ownCaches(shell.folder);
  const name = nameOf(shell);
  const found = await Promise.all([
    ...Object.entries(shell.files).map(([path, sha256]) =>
      findFile(shell, path, sha256, [...copies(earlier), ...HOST]),
    ),
    ...Object.entries(shell.later).map(([path, sha256]) => findFile(shell, path, sha256, copies(earlier))),
  ]);
  const missing = Object.keys(shell.files).find((_, index) => !found[index].answer);
  if (missing) throw new Error(`${missing} is not the published file`);
  try {
    const cache = await caches.open(name);
    await Promise.all(found.map(({ url, answer }) => answer && cache.put(url, answer)));
  } catch (error) {
    if (!earlier.includes(name)) await caches.delete(name);
    throw error;
  }
}

/**
 * Store a file for later from an answer that is being used, if it is the published one.
 * @param {Shell} shell
 * @param {string} path
 * @param {Response} answer a copy
 */
export async function keepUsed(shell, path, answer) {
  const { url, answer: right } = await findFile(shell, path, shell.later[path], [async () => answer]);
  if (right) await (await caches.open(nameOf(shell))).put(url, right);
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

/** Where a file can come from. @typedef {(url: string) => Promise<Response | undefined>} Source */

/** The host; the browser's own cache may be older than the site, for minutes. @type {Source[]} */
const HOST = [(url) => fetch(url), (url) => fetch(url, { cache: 'reload' })];

/** @param {string[]} names of caches @returns {Source[]} */
const copies = (names) => names.map((cacheName) => (url) => caches.match(url, { cacheName }));

/**
 * Return a file's address, and its right bytes from the first source that has them, if one has.
 * @param {Shell} shell
 * @param {string} path
 * @param {string} sha256
 * @param {Source[]} sources
 * @returns {Promise<{url: string, answer: Response | null}>}
 */
async function findFile({ folder }, path, sha256, sources) {
  const url = new URL(path, folder).href;
  for (const open of sources) {
    const answer = await open(url);
    if (!answer?.ok) continue;
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if ((await sha256Of(bytes)) === sha256)
      return { url, answer: new Response(bytes, { headers: lasting(answer.headers) }) };
  }
  return { url, answer: null };
}

/** The headers that are still true of unpacked, stored bytes. @param {Headers} headers @returns {Headers} */
function lasting(headers) {
  const kept = new Headers(headers);
  for (const name of ['content-encoding', 'content-length', 'vary']) kept.delete(name);
  return kept;
}
