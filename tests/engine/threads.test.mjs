/**
 * Threads of our engine: they change no bit, hang nowhere, take no memory, sleep between runs, and end.
 *
 *   node tests/engine/threads.test.mjs WASM_DIR MODEL.vit …
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { readPlan } from '../../site/js/engines/vit/plan.js';
import { startThreads } from '../../site/js/engines/vit/threads.js';
import { engine } from '../../site/js/engines/vit/vit.js';
import { compileBuild, instantiateModel } from '../../site/js/engines/vit/wasm.js';
import { actAsBrowser, THREAD_SCRIPT } from '../../site/tools/node_browser.mjs';

const RUNS = 200;
/** Of one core: threads that spin take all of it, each. */
const IDLE_SHARE = 0.3;

actAsBrowser();
const [wasm, ...models] = process.argv.slice(2);
const wasmPath = `${pathToFileURL(resolve(wasm)).href}/`;

/** Workers that keep the process alive until they end, as they do in a browser. @type {import('node:worker_threads').Worker[]} */
const workers = [];
const Worker = /** @type {any} */ (globalThis.Worker);
/** @type {any} */ (globalThis).Worker = class extends Worker {
  /** @param {string} script */
  constructor(script) {
    super(script);
    this.ref();
    workers.push(/** @type {any} */ (this));
  }
};

/** @param {number} count */
const picture = (count) => Float32Array.from({ length: count }, (_, index) => Math.sin(index * index));

/** @param {string} model @param {number | undefined} threads @param {number} [batch] */
async function open(model, threads, batch) {
  const options = { backend: 'wasm', wasmPath, threadScript: THREAD_SCRIPT, build: 'plain', threads, batch };
  const session = await engine.load({ files: new Map([['model.vit', new Uint8Array(readFileSync(model))]]) }, options);
  const [height, width] = /** @type {number[]} */ (session.input);
  return { session, input: picture(3 * height * width) };
}

/** An instance whose runs may each have another number of threads. @param {string} model @param {number} threads */
async function instanceOf(model, threads) {
  const plan = readPlan(new Uint8Array(readFileSync(model)));
  const instance = await instantiateModel(await compileBuild(wasmPath, true, 'plain'), plan, threads, 1);
  const { memory, exports } = instance;
  const end = await startThreads(instance, threads, THREAD_SCRIPT);
  const values = picture(3 * plan.sizes.height * plan.sizes.width);
  new Float32Array(memory.buffer, exports.input(0), values.length).set(values);
  /** @param {number} count */
  const run = (count) => {
    new Float32Array(memory.buffer, exports.output(0), exports.outputs()).fill(NaN);
    assert.equal(exports.run(count), 1);
    return new Float32Array(memory.buffer, exports.output(0), exports.outputs()).slice();
  };
  return { run, end, memory, exports };
}

/** End a session or an instance, and wait until its workers are gone. @param {() => unknown} end */
async function ended(end) {
  const gone = workers.splice(0).map((worker) => once(worker, 'exit'));
  await end();
  await Promise.all(gone);
}

for (const model of models) {
  test(`${model}: every number of threads gives the same bits`, async () => {
    const outputs = [];
    for (const threads of [1, 2, 3, 4, 7, 16]) {
      const { session, input } = await open(model, threads);
      assert.equal(session.threads, threads, session.threads_reason);
      outputs.push(await session.run(input));
      await ended(() => session.dispose());
    }
    for (const output of outputs) assert.deepEqual(output, outputs[0]);
  });

  test(`${model}: images at once, one in each thread, have the outputs that they have alone`, async () => {
    const { session: alone, input } = await open(model, 1);
    const images = Array.from({ length: 11 }, (_, image) => input.map((value) => value * (1 + image / 3)));
    const expected = [];
    for (const image of images) expected.push(await alone.run(image));
    assert.deepEqual(await alone.runAll?.(images), expected);
    await alone.dispose();
    for (const [threads, batch] of [
      [1, 8],
      [2, 8],
      [4, 3],
      [5, 5],
    ]) {
      const { session } = await open(model, threads, batch);
      for (const count of [0, 1, 2, 11])
        assert.deepEqual(await session.runAll?.(images.slice(0, count)), expected.slice(0, count));
      assert.deepEqual(await session.run(images[3]), expected[3], 'all threads for one image again');
      assert.deepEqual(await session.runAll?.(images), expected);
      await assert.rejects(session.runAll?.([images[0], images[1].subarray(1)]) ?? Promise.resolve(), {
        code: 'bad_request',
      });
      await ended(() => session.dispose());
    }
  });

  test(`${model}: runs that change the number of threads neither hang nor take memory`, async () => {
    const { run, end, memory, exports } = await instanceOf(model, 5);
    const first = run(1);
    const bytes = memory.buffer.byteLength;
    for (let index = 0; index < RUNS; index++) {
      const count = 1 + ((index * 7 + (index >> 3)) % 5);
      assert.deepEqual(run(count), first, `run ${index}, ${count} threads`);
    }
    assert.equal(memory.buffer.byteLength, bytes);
    for (const count of [0, -1, 6, 64]) assert.equal(exports.run(count), 0, `${count} threads`);
    assert.deepEqual(run(5), first);
    await ended(end);
  });
}

test('runs leave nothing behind', async () => {
  const { session, input } = await open(models[0], 2);
  const held = async () => {
    for (let index = 0; index < RUNS; index++) await session.run(input);
    const { arrayBuffers, external } = process.memoryUsage();
    return arrayBuffers + external;
  };
  await held();
  const before = await held();
  assert.ok((await held()) - before < 2e6);
  await ended(() => session.dispose());
});

test('threads sleep between runs', async () => {
  const { session, input } = await open(models[0], 4);
  await session.run(input);
  await sleep(100);
  const before = process.cpuUsage();
  await sleep(1000);
  const { user, system } = process.cpuUsage(before);
  assert.ok((user + system) / 1e6 < IDLE_SHARE, `${user + system} µs of work in a second without any`);
  await ended(() => session.dispose());
});

test('left to itself, a session finds out its threads and answers alike all the while', async () => {
  const { session, input } = await open(models[0], undefined);
  const first = await session.run(input);
  for (let index = 0; index < 30; index++) assert.deepEqual(await session.run(input), first);
  assert.ok(session.threads >= 1);
  await ended(() => session.dispose());
});

test('what was disposed of does not run, and can be disposed of again', async () => {
  for (const threads of [1, 2]) {
    const { session, input } = await open(models[0], threads);
    await ended(() => session.dispose());
    await assert.rejects(session.run(input), { code: 'not_loaded' });
    await session.dispose();
  }
});

test('more threads than the engine has are not had, which is said', async () => {
  const { session, input } = await open(models[0], 40);
  assert.deepEqual([session.threads, session.threads_reason], [16, 'the engine supports at most 16 threads']);
  assert.ok((await session.run(input)).every(Number.isFinite));
  await ended(() => session.dispose());
});

test('a thread that does not start leaves one, with the reason', async () => {
  const file = new Uint8Array(readFileSync(models[0]));
  const threadScript = new URL('./no_such_thread.mjs', import.meta.url).href;
  const options = { backend: 'wasm', wasmPath, threadScript, build: 'plain', threads: 2 };
  const session = await engine.load({ files: new Map([['model.vit', file]]) }, options);
  assert.equal(session.threads, 1);
  assert.match(session.threads_reason ?? '', /2 threads could not be started: .*no_such_thread/);
  const [height, width] = /** @type {number[]} */ (session.input);
  assert.ok((await session.run(picture(3 * height * width))).every(Number.isFinite));
  await session.dispose();
});
