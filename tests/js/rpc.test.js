import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, test } from 'node:test';
import { VitError } from '../../site/js/common/errors.js';
import { RpcClient } from '../../site/js/common/rpc.js';
import { actAsBrowser } from '../../site/tools/node_browser.mjs';

actAsBrowser();
// Workers alone do not keep Node awake.
const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));
/** @typedef {import('./rpc_worker.mjs').Requests} Requests */
/** @typedef {import('./rpc_worker.mjs').Notices} Notices */

/** @type {RpcClient<Requests, Notices>} */
let rpc;

beforeEach(() => {
  rpc = new RpcClient(new Worker(new URL('./rpc_worker.mjs', import.meta.url).href), 'the test');
});

afterEach(() => rpc.end(new VitError('aborted', 'The test is over.')));

test('a call gives its progress, in order, and then its result', async () => {
  /** @type {number[]} */
  const progress = [];
  assert.deepEqual(await rpc.call('count', 3, { onProgress: (done) => progress.push(done) }), [0, 1, 2]);
  assert.deepEqual(progress, [0, 1, 2]);
});

test('errors arrive with their code, message and hint', async () => {
  const error = await rpc.call('fail', 'not_loaded').catch((thrown) => thrown);
  assert.ok(error instanceof VitError);
  assert.deepEqual([error.code, error.message, error.hint], ['not_loaded', 'It failed.', 'Try something else.']);
});

test('a call that is aborted is rejected at once, and the worker hears of it', async () => {
  const controller = new AbortController();
  const waiting = rpc.call('wait', undefined, { signal: controller.signal });
  await rpc.call('events'); // the worker is there and waits
  controller.abort();
  await assert.rejects(waiting, { code: 'aborted' });
  assert.deepEqual(await rpc.call('events'), ['wait aborted']);
  await assert.rejects(rpc.call('count', 1, { signal: controller.signal }), { code: 'aborted' });
});

test('exclusive requests wait for each other, also for those that fail; others do not wait', async () => {
  const failing = assert.rejects(rpc.call('slow', { name: 'failing', ms: 100 }), { code: 'bad_model' });
  const next = rpc.call('slow', { name: 'next', ms: 0 });
  assert.deepEqual(await rpc.call('events'), ['failing begins']);
  await failing;
  assert.equal(await next, 'next');
  assert.deepEqual(await rpc.call('events'), ['failing begins', 'failing ends', 'next begins', 'next ends']);
});

test('an exclusive request that is aborted while it waits never begins', async () => {
  const controller = new AbortController();
  const first = rpc.call('slow', { name: 'first', ms: 50 });
  const second = rpc.call('slow', { name: 'second', ms: 0 }, { signal: controller.signal });
  controller.abort();
  await assert.rejects(second, { code: 'aborted' });
  await first;
  await rpc.call('slow', { name: 'third', ms: 0 });
  assert.deepEqual(await rpc.call('events'), ['first begins', 'first ends', 'third begins', 'third ends']);
});

test('what is transferred is moved, not copied', async () => {
  const values = Float32Array.of(1, 2, 3);
  assert.deepEqual(await rpc.call('double', values, { transfer: [values.buffer] }), Float32Array.of(2, 4, 6));
  assert.equal(values.length, 0);
});

test('a notice is heard and has no answer', async () => {
  rpc.notify('note', 'visible');
  assert.deepEqual(await rpc.call('events'), ['note visible']);
});

test('a request that the worker does not know is rejected, and says what it knows', async () => {
  const unknown = /** @type {any} */ (rpc).call('fly');
  await assert.rejects(unknown, { code: 'bad_request', message: /“fly”; it has: count, fail/ });
});

test('a payload that cannot be sent is an error of the call', async () => {
  const payload = /** @type {any} */ (() => {});
  await assert.rejects(rpc.call('count', payload), { code: 'internal', message: /DataCloneError/ });
  assert.deepEqual(await rpc.call('count', 1), [0]);
});

test('the end of the worker rejects the calls that wait, and all later ones', async () => {
  const waiting = rpc.call('wait');
  rpc.end(new VitError('not_loaded', 'The model was unloaded.'));
  await assert.rejects(waiting, { code: 'not_loaded' });
  await assert.rejects(rpc.call('events'), { code: 'not_loaded' });
});

test('a worker that dies rejects the calls that wait, and says why', async () => {
  await assert.rejects(rpc.call('crash'), { code: 'internal', message: 'The test failed: out of order' });
  await assert.rejects(rpc.call('events'), { code: 'internal' });
});
