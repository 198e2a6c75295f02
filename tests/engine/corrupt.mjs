/**
 * Serve files that are flipped or cut, and load each as the page does: all must be refused.
 *
 *   node tests/engine/corrupt.mjs PLACES FILE…
 *
 * Half of the places are flipped, half are cut there. Prints one JSON line {tried, refused, faults: {file, what}[]}.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { FileCache } from '../../site/js/worker/cache.js';

const REFUSALS = ['hash_mismatch', 'wrong_length', 'html_instead'];
const [places, ...paths] = process.argv.slice(2);

/** What is served at the moment. */
/** @type {Uint8Array} */
let body = Buffer.alloc(0);
const server = createServer((_, response) => void response.writeHead(200, { 'content-length': body.length }).end(body));
await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(null)));
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
/** @type {Map<string, Response>} */
const kept = new Map();
const store = {
  /** @param {string} url */
  match: async (url) => kept.get(url)?.clone(),
  /** @param {string} url @param {Response} response */
  put: async (url, response) => void kept.set(url, response),
  /** @param {string} url */
  delete: async (url) => kept.delete(url),
};
const cache = new FileCache({ openStore: async () => store });

/** @type {{tried: number, refused: number, faults: {file: string, what: string}[]}} */
const found = { tried: 0, refused: 0, faults: [] };

/** @param {Buffer} bytes @param {number} place @param {number} count */
function spoilt(bytes, place, count) {
  const at = Math.floor((bytes.length * place) / count);
  if (place % 2) return bytes.subarray(0, at);
  const flipped = Buffer.from(bytes);
  flipped[at] ^= 1 << (place % 8);
  return flipped;
}

for (const path of paths) {
  const bytes = readFileSync(path);
  const record = { path: 'file', bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  for (let place = 0; place < Number(places); place++) {
    body = spoilt(bytes, place, Number(places));
    found.tried++;
    const outcome = await cache.fetch(`http://127.0.0.1:${port}/`, [record]).catch((error) => error);
    if (REFUSALS.includes(outcome.code) && outcome.hint && kept.size === 0) found.refused++;
    else found.faults.push({ file: path, what: `place ${place}: ${outcome.code ?? 'was loaded'}` });
  }
}
server.closeAllConnections();
server.close();
console.log(JSON.stringify(found));
