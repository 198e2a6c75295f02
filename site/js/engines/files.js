/** The files that an engine is made of: where they are, and how they are fetched. */

import { messageOf, VitError } from '../common/errors.js';
import { sha256Of } from '../common/sha256.js';

/** The files' names → their hashed names, put here by the bundler; absent in Node. */
const HASHED_NAMES = typeof WASM_FILES === 'undefined' ? undefined : WASM_FILES;

/** Whether the scripts are bundled, so that an engine cannot find its files by itself. */
export const BUNDLED = HASHED_NAMES !== undefined;

/**
 * Return the URL of an engine's file below `folder`, or below the scripts' own.
 * @param {string} name
 * @param {string} [folder] with a final slash
 * @returns {string}
 */
export function fileUrl(name, folder) {
  return new URL(HASHED_NAMES?.[name] ?? name, folder ?? new URL('./', import.meta.url)).href;
}

/**
 * Fetch a file of an engine, and check it by the hash in its published name. Engines that fetch by themselves cannot
 * tell why a fetch failed: it is then in the browser's cache for them.
 *
 * Raises `network_lost`, `http_error`, `hash_mismatch` or `aborted`.
 * @param {string} name
 * @param {string} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<ArrayBuffer>}
 */
export async function fetchFile(name, url, signal) {
  let response;
  let bytes;
  let right;
  try {
    response = await fetch(url, { signal });
    bytes = await response.arrayBuffer();
    right = response.ok && (await isPublished(bytes, url));
    // A wrong response may itself be cached, for minutes.
    if (!right) {
      response = await fetch(url, { cache: 'reload', signal });
      bytes = await response.arrayBuffer();
      right = response.ok && (await isPublished(bytes, url));
    }
  } catch (cause) {
    if (signal?.aborted) throw new VitError('aborted', 'Cancelled.', { cause });
    throw new VitError('network_lost', 'The connection was lost while the engine was being downloaded.', { cause });
  }
  const { ok, status } = response;
  if (!ok) {
    const hint = status === 404 ? 'Reload the page: the site may just have been updated.' : undefined;
    throw new VitError('http_error', `The server returned status ${status} for the engine's ${name}.`, { hint });
  }
  if (!right)
    throw new VitError('hash_mismatch', `The engine's ${name} is not the published file, or is only a part of it.`);
  return bytes;
}

/**
 * Whether a file's SHA-256 begins as its published name says; without a bundle, names say nothing.
 * @param {ArrayBuffer} bytes
 * @param {string} url
 */
async function isPublished(bytes, url) {
  const [, hash] = (BUNDLED && /\.([0-9a-f]{8})\.\w+$/.exec(new URL(url).pathname)) || [];
  return !hash || (await sha256Of(new Uint8Array(bytes))).startsWith(hash);
}

/**
 * Import a module on demand; raises `network_lost` when its script cannot be had.
 * @template T
 * @param {() => Promise<T>} load
 * @returns {Promise<T>}
 */
export async function download(load) {
  try {
    return await load().catch((cause) =>
      importAgain(load).catch(() => {
        throw cause;
      }),
    );
  } catch (cause) {
    const hint = 'Check the connection, then reload the page.';
    throw new VitError('network_lost', `A script of the engine could not be loaded: ${messageOf(cause)}.`, {
      hint,
      cause,
    });
  }
}

/**
 * Import by another address: a wrong response may be cached, for minutes, and what failed once is not imported again.
 * @template T
 * @param {() => Promise<T>} load
 * @returns {Promise<T>}
 */
async function importAgain(load) {
  const [, name] = (BUNDLED && /import\("(.+?)"\)/.exec(String(load))) || [];
  return name ? import(`${new URL(name, import.meta.url)}?again=${Date.now()}`) : load();
}
