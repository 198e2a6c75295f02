import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { FileCache } from '../../site/js/worker/cache.js';

/** @typedef {import('node:http').ServerResponse} ServerResponse */
/** @typedef {import('../../site/js/worker/cache.js').Store} Store */

const HTML = '<!doctype html><title>404</title><h1>There is no such page</h1>';
/**
 * What the server does with a path, when it is not to serve the file.
 * @type {Map<string, (response: ServerResponse, bytes: Buffer) => void>}
 */
const mishaps = new Map();
/** @type {string[]} */
let requests = [];
let folder = '';

/**
 * Compressible, so that the bytes on the wire are far fewer than those that arrive.
 * @param {number} seed
 * @param {number} length
 */
const content = (seed, length) => Buffer.from(Uint8Array.from({ length }, (_, index) => (index >> 9) * seed));
const CONTENT = new Map([
  ['model.json', content(3, 5_000)],
  ['part1.bin', content(5, 300_000)],
  ['part2.bin', content(7, 200_000)],
  ['part3.bin', content(9, 100_000)],
  ['part4.bin', content(11, 50_000)],
  ['part5.bin', content(13, 25_000)],
]);
const RECORDS = [...CONTENT].map(([path, bytes]) => ({
  path,
  bytes: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
}));
const TOTAL = RECORDS.reduce((sum, { bytes }) => sum + bytes, 0);

const server = createServer((request, response) => {
  const path = String(request.url).replace('/repo/models/x/', '');
  requests.push(path);
  const bytes = CONTENT.get(path);
  const mishap = mishaps.get(path);
  if (!bytes) return void response.writeHead(404, { 'content-type': 'text/html' }).end(HTML);
  if (mishap) return void mishap(response, bytes);
  const zipped = gzipSync(bytes);
  response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': zipped.length }).end(zipped);
});

before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(null)));
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  folder = `http://127.0.0.1:${address.port}/repo/models/x/`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  mishaps.clear();
  requests = [];
});

/** A store in memory, since Node has no Cache API. @returns {{cache: FileCache, kept: Map<string, Uint8Array>}} */
function inMemory() {
  const kept = new Map();
  /** @type {Store} */
  const store = {
    match: async (url) => (kept.has(url) ? new Response(kept.get(url)) : undefined),
    put: async (url, response) => void kept.set(url, new Uint8Array(await response.arrayBuffer())),
    delete: async (url) => kept.delete(url),
  };
  return { cache: new FileCache({ openStore: async () => store }), kept };
}

test('files arrive verified, with unpacked bytes as progress, and come from the cache the next time', async () => {
  const { cache, kept } = inMemory();
  const progress = /** @type {number[][]} */ ([]);
  const { files, from_cache, notices } = await cache.fetch(folder, RECORDS, {
    onProgress: (...step) => progress.push(step),
  });
  for (const [path, bytes] of CONTENT)
    assert.deepEqual(Buffer.from(/** @type {Uint8Array} */ (files.get(path))), bytes);
  assert.deepEqual([from_cache, notices], [false, []]);
  assert.deepEqual(progress.at(0), [0, TOTAL]);
  assert.deepEqual(progress.at(-1), [TOTAL, TOTAL]);
  assert.ok(progress.every(([loaded], index) => index === 0 || loaded > progress[index - 1][0]));
  assert.equal(kept.size, RECORDS.length);
  assert.equal((await cache.fetch(folder, RECORDS)).from_cache, true);
  assert.equal(requests.length, RECORDS.length);
});

/** @type {[string, string, RegExp, (response: ServerResponse, bytes: Buffer) => void][]} */
const MISHAPS = [
  [
    'a 404 with a web page',
    'http_error',
    /status 404/,
    (response) => response.writeHead(404, { 'content-type': 'text/html' }).end(HTML),
  ],
  ['too many requests', 'http_error', /status 429/, (response) => response.writeHead(429).end(HTML)],
  [
    'a web page as 200',
    'html_instead',
    /web page/,
    (response) => response.writeHead(200, { 'content-type': 'text/html' }).end(HTML),
  ],
  ['a web page without a type', 'html_instead', /web page/, (response) => response.writeHead(200).end(HTML)],
  [
    'a web page as long as the file',
    'html_instead',
    /web page/,
    (response, bytes) => response.writeHead(200).end(HTML.padEnd(bytes.length)),
  ],
  [
    'a longer file',
    'wrong_length',
    /more than 200000/,
    (response, bytes) => response.writeHead(200).end(Buffer.concat([bytes, bytes])),
  ],
  [
    'a shorter file',
    'wrong_length',
    /only 1000 /,
    (response, bytes) => response.writeHead(200).end(bytes.subarray(0, 1000)),
  ],
  ['nothing', 'wrong_length', /only 0 /, (response) => response.writeHead(200).end()],
  [
    'one wrong bit',
    'hash_mismatch',
    /SHA-256/,
    (response, bytes) => response.writeHead(200).end(Buffer.from(bytes).fill(1, 77_777, 77_778)),
  ],
  ['a connection lost half-way', 'network_lost', /lost after \d+ of 200000/, loseHalfWay],
  ['a connection lost at once', 'network_lost', /failed/, (response) => response.destroy()],
];

/** @param {ServerResponse} response @param {Buffer} bytes */
function loseHalfWay(response, bytes) {
  response.writeHead(200, { 'content-length': bytes.length });
  response.write(bytes.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 20));
}

for (const [name, code, message, mishap] of MISHAPS) {
  test(`${name} is ${code}; nothing wrong is kept, and a retry goes on from what was verified`, async () => {
    const { cache, kept } = inMemory();
    mishaps.set('part2.bin', async (response, bytes) => {
      while (kept.size < 2) await new Promise((resolve) => setTimeout(resolve, 5));
      mishap(response, bytes);
    });
    const error = await cache.fetch(folder, RECORDS.slice(0, 3)).catch((thrown) => thrown);
    assert.equal(error.code, code, error.stack);
    assert.match(error.message, message);
    assert.match(error.message, /part2\.bin/);
    assert.ok(error.hint.length > 0);
    assert.deepEqual(
      [...kept.values()].map(({ length }) => length).sort((a, b) => a - b),
      [5_000, 300_000],
    );
    mishaps.clear();
    requests = [];
    const { files } = await cache.fetch(folder, RECORDS.slice(0, 3));
    assert.deepEqual(requests, ['part2.bin']);
    assert.equal(files.size, 3);
  });
}

test('a server that is not there is network_lost', async () => {
  await assert.rejects(inMemory().cache.fetch('http://127.0.0.1:9/', RECORDS), { code: 'network_lost' });
});

test('a kept file that was damaged is evicted and fetched again, with a notice', async () => {
  const { cache, kept } = inMemory();
  await cache.fetch(folder, RECORDS);
  const key = /** @type {string} */ ([...kept.keys()].find((url) => url.endsWith(RECORDS[1].sha256)));
  kept.set(key, new Uint8Array(RECORDS[1].bytes));
  requests = [];
  const { files, from_cache, notices } = await cache.fetch(folder, RECORDS);
  assert.deepEqual(requests, ['part1.bin']);
  assert.equal(from_cache, false);
  assert.match(notices.join(), /part1\.bin was damaged/);
  assert.deepEqual(Buffer.from(/** @type {Uint8Array} */ (files.get('part1.bin'))), CONTENT.get('part1.bin'));
  assert.deepEqual(Buffer.from(/** @type {Uint8Array} */ (kept.get(key))), CONTENT.get('part1.bin'));
});

test('full storage, or none, does not stop the load, and is told', async () => {
  /** @type {Store} */
  const full = {
    match: async () => undefined,
    put: async () => Promise.reject(new DOMException('the quota is exceeded', 'QuotaExceededError')),
    delete: async () => false,
  };
  const kept = await new FileCache({ openStore: async () => full }).fetch(folder, RECORDS);
  assert.equal(kept.files.size, RECORDS.length);
  assert.match(kept.notices.join(), /did not keep.*quota/);
  const none = await new FileCache({ openStore: () => Promise.reject(new Error('denied')) }).fetch(folder, RECORDS);
  assert.equal(none.files.size, RECORDS.length);
  assert.match(none.notices.join(), /keeps no files/);
});

test('a cancelled load is aborted at once, and stops fetching', async () => {
  const { cache, kept } = inMemory();
  mishaps.set('part1.bin', (response, bytes) => void response.writeHead(200).write(bytes.subarray(0, 1000)));
  const controller = new AbortController();
  const loading = cache.fetch(folder, RECORDS, { signal: controller.signal });
  while (kept.size < RECORDS.length - 1) await new Promise((resolve) => setTimeout(resolve, 5));
  controller.abort();
  await assert.rejects(loading, { code: 'aborted' });
  assert.equal(kept.size, RECORDS.length - 1);
  await assert.rejects(cache.fetch(folder, RECORDS, { signal: AbortSignal.abort() }), { code: 'aborted' });
});
