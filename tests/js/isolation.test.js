import assert from 'node:assert/strict';
import test from 'node:test';
import { cachePrefix, isOptedOut, modeOf, withMode } from '../../site/js/common/service_worker.js';
import { isAppleMobile, planFor } from '../../site/js/page/isolation.js';
import { headersFor, routeOf, withHeaders } from '../../site/sw/routes.js';

/** @type {import('../../site/js/page/isolation.js').Visit} */
const FIRST = {
  optedOut: false,
  secure: true,
  supported: true,
  embedded: false,
  isolated: false,
  controller: null,
  appleMobile: false,
  cores: 4,
};

test('only a plain first visit is worth a reload', () => {
  assert.equal(planFor(FIRST).reload, true);
  /** @type {Partial<import('../../site/js/page/isolation.js').Visit>[]} */
  const others = [
    { optedOut: true },
    { secure: false },
    { supported: false },
    { embedded: true },
    { isolated: true },
    { controller: 'isolate' },
    { appleMobile: true },
    { cores: 1 },
  ];
  for (const other of others) {
    const plan = planFor({ ...FIRST, ...other });
    assert.equal(plan.reload, false, JSON.stringify(other));
    assert.equal(plan.reason === '', other.isolated === true, JSON.stringify(other));
  }
});

test('the service worker adds headers where the host does not, and never on phones that cannot bear them', () => {
  assert.equal(planFor(FIRST).mode, 'isolate');
  assert.equal(planFor({ ...FIRST, isolated: true }).mode, 'host');
  assert.equal(planFor({ ...FIRST, isolated: true, controller: 'isolate' }).mode, 'isolate');
  assert.equal(planFor({ ...FIRST, appleMobile: true }).mode, 'plain');
  assert.equal(planFor({ ...FIRST, cores: 1 }).mode, 'plain');
  for (const none of [{ optedOut: true }, { secure: false }, { supported: false }, { embedded: true }]) {
    assert.equal(planFor({ ...FIRST, ...none }).mode, null);
    assert.notEqual(planFor({ ...FIRST, ...none, isolated: true }).obstacle, '');
  }
});

test('an iPad is known even when it passes for a Mac', () => {
  const mac =
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15';
  assert.equal(isAppleMobile({ userAgent: mac, maxTouchPoints: 0 }), false);
  assert.equal(isAppleMobile({ userAgent: mac, maxTouchPoints: 5 }), true);
  assert.equal(
    isAppleMobile({ userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)', maxTouchPoints: 5 }),
    true,
  );
  assert.equal(isAppleMobile({ userAgent: 'Mozilla/5.0 (Linux; Android 15)', maxTouchPoints: 5 }), false);
});

test('the mode travels in the URL', () => {
  const script = 'https://host.example/repo/sw.js';
  for (const mode of /** @type {const} */ (['isolate', 'host', 'plain']))
    assert.equal(modeOf(withMode(script, mode)), mode);
  assert.equal(modeOf(script), 'plain');
  assert.equal(modeOf(`${script}?mode=other`), 'plain');
  assert.equal(isOptedOut('https://host.example/repo/?isolation=off#variant=u8'), true);
  assert.equal(isOptedOut('https://host.example/repo/?isolation=on'), false);
});

test('no site’s caches look like those of another', () => {
  const folders = ['/', '/a/', '/a/b/', '/ab/', '/:a/'].map((path) => cachePrefix(`https://host.example${path}`));
  for (const one of folders) {
    assert.deepEqual(
      folders.filter((other) => `${other}0123`.startsWith(one)),
      [one],
    );
  }
});

const FOLDER = 'https://host.example/repo/';
const FILES = {
  'index.html': '',
  'results.html': '',
  'assets/main.AA.js': '',
  'assets/engine.wasm': '',
  'samples/cat.jpg': '',
};

/**
 * @param {string} address
 * @param {Partial<import('../../site/sw/routes.js').RequestParts>} [how]
 */
function route(address, how = {}) {
  const url = new URL(address, FOLDER).href;
  const request = { url, method: 'GET', mode: 'cors', cache: 'default', headers: new Headers(), ...how };
  return routeOf(/** @type {import('../../site/sw/routes.js').RequestParts} */ (request), FOLDER, FILES);
}

test('pages, assets and samples of the site are answered', () => {
  assert.deepEqual(route('', { mode: 'navigate' }), { kind: 'page', path: 'index.html' });
  assert.deepEqual(route('?model=a&variant=b', { mode: 'navigate' }), { kind: 'page', path: 'index.html' });
  assert.deepEqual(route('results.html', { mode: 'navigate' }), { kind: 'page', path: 'results.html' });
  assert.deepEqual(route('assets/main.AA.js'), { kind: 'asset', path: 'assets/main.AA.js' });
  // Of a newer version: no page that we isolate could start it as a worker otherwise.
  assert.deepEqual(route('assets/worker.BB.js'), { kind: 'asset', path: 'assets/worker.BB.js' });
  assert.deepEqual(route('samples/cat.jpg'), { kind: 'loose', path: 'samples/cat.jpg' });
});

test('everything else is left alone', () => {
  assert.equal(route('models/fashion/u8/group1-shard1of1.bin'), null);
  assert.equal(route('assets/engine.BB.wasm'), null); // of another version
  assert.equal(route('index.html'), null); // read by a script, not opened
  assert.equal(route('elsewhere.html', { mode: 'navigate' }), null);
  assert.equal(route('samples/cat.jpg', { mode: 'navigate' }), null);
  assert.equal(route('/other/index.html', { mode: 'navigate' }), null);
  assert.equal(route('https://other.example/repo/', { mode: 'navigate' }), null);
  assert.equal(route('assets/main.AA.js', { method: 'POST' }), null);
  assert.equal(route('assets/engine.wasm', { headers: new Headers({ range: 'bytes=0-9' }) }), null);
  for (const cache of /** @type {const} */ (['reload', 'no-store']))
    assert.equal(route('assets/main.AA.js', { cache }), null);
});

test('documents are isolated by us, scripts fit into an isolated page, and nothing is added on phones', () => {
  const [page, script, wasm] = [
    { kind: /** @type {const} */ ('page'), path: 'index.html' },
    { kind: /** @type {const} */ ('asset'), path: 'assets/main.AA.js' },
    { kind: /** @type {const} */ ('asset'), path: 'assets/engine.wasm' },
  ];
  assert.equal(headersFor(page, 'isolate', FOLDER)['cross-origin-opener-policy'], 'same-origin');
  assert.equal(headersFor(page, 'isolate', FOLDER)['cross-origin-embedder-policy'], 'require-corp');
  assert.deepEqual(headersFor(page, 'isolate', `${FOLDER}?isolation=off`), {});
  assert.deepEqual(headersFor(page, 'host', FOLDER), {});
  for (const mode of /** @type {const} */ (['isolate', 'host'])) {
    assert.equal(headersFor(script, mode, FOLDER)['cross-origin-embedder-policy'], 'require-corp');
    assert.deepEqual(headersFor(wasm, mode, FOLDER), {});
  }
  for (const one of [page, script, wasm]) assert.deepEqual(headersFor(one, 'plain', FOLDER), {});
});

test('an answer keeps its status, its body and its own headers', async () => {
  const answer = new Response('text', { status: 203, headers: { 'content-type': 'text/plain' } });
  const more = withHeaders(answer, { 'cross-origin-embedder-policy': 'require-corp' });
  assert.equal(more.status, 203);
  assert.equal(more.headers.get('content-type'), 'text/plain');
  assert.equal(more.headers.get('cross-origin-embedder-policy'), 'require-corp');
  assert.equal(await more.text(), 'text');
  const redirect = Response.error();
  assert.equal(withHeaders(redirect, { 'x-more': '1' }), redirect);
});
