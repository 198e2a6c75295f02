import assert from 'node:assert/strict';
import test from 'node:test';
import { describe, readPlan } from '../../site/js/engines/vit/plan.js';
import { ThreadTuner } from '../../site/js/engines/vit/tuner.js';
import { instantiateModel } from '../../site/js/engines/vit/wasm.js';

const SIZES = {
  ...{ height: 28, width: 21, patch_height: 7, patch_width: 7, dim: 48, heads: 3, head_dim: 16, hidden: 192, depth: 2 },
  ...{ prefix: 1, pool: 0, classes: 10, classifiers: 1, flags: 4, epsilon: 1e-6, floats: 1 },
};

/**
 * A safetensors file.
 * @param {Record<string, string>} metadata
 * @param {Record<string, [string, number[]]>} [tensors] type and bytes
 */
function made(metadata, tensors = {}) {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, [dtype, bytes]]) => {
    const shape = [bytes.length / (dtype === 'U8' ? 1 : dtype === 'F16' ? 2 : 4)];
    const start = end;
    end += bytes.length;
    return [name, { dtype, shape, data_offsets: [start, end] }];
  });
  const text = new TextEncoder().encode(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }));
  const start = new Uint8Array(BigUint64Array.of(BigInt(text.length)).buffer);
  return Uint8Array.of(...start, ...text, ...Object.values(tensors).flatMap(([, bytes]) => bytes));
}

/** @param {unknown} plan @param {Record<string, [string, number[]]>} [tensors] */
const planned = (plan, tensors) =>
  readPlan(made({ format: 'vit-pages-engine', schema_version: '1', plan: JSON.stringify(plan) }, tensors));

test('a plan has the tensors in its own order, with their bits', () => {
  const tensors = /** @type {Record<string, [string, number[]]>} */ ({
    last: ['F16', [1, 2]],
    first: ['U8', [3, 4, 5]],
    middle: ['F32', [6, 7, 8, 9]],
  });
  const { sizes, parts } = planned(
    {
      sizes: SIZES,
      tensors: [
        ['first', 3],
        ['middle', 0],
        ['last', 0],
      ],
      run: 4,
    },
    tensors,
  );
  assert.deepEqual(sizes, SIZES);
  assert.deepEqual(
    parts.map(({ name, bits, bytes }) => [name, bits, [...bytes]]),
    [
      ['first', 3, [3, 4, 5]],
      ['middle', 32, [6, 7, 8, 9]],
      ['last', 16, [1, 2]],
    ],
  );
});

test('a plan without its tensors, or with others than numbers, is rejected', () => {
  const listed = { sizes: SIZES, tensors: [['weight', 4]], run: 8 };
  assert.throws(() => planned(listed), { code: 'bad_model', message: /weight/ });
  assert.throws(() => planned(listed, { weight: ['I32', [0, 0, 0, 0]] }), { code: 'bad_model', message: /weight/ });
  assert.throws(() => planned({ ...listed, tensors: [['weight', 4.5]] }, { weight: ['U8', [0]] }), {
    code: 'bad_model',
  });
  assert.throws(() => planned({ sizes: { ...SIZES, dim: '48' }, tensors: [], run: 0 }), {
    code: 'bad_model',
    message: /plan/,
  });
  assert.throws(() => planned({ sizes: SIZES, tensors: [] }), { code: 'bad_model', message: /plan/ });
  assert.throws(() => planned({ sizes: SIZES, run: 0 }), { code: 'bad_model', message: /plan/ });
});

test('files of other formats and versions are rejected with a reason', () => {
  const others = [{}, { format: 'pt' }, { format: 'vit-pages-engine', schema_version: '2' }];
  for (const metadata of /** @type {Record<string, string>[]} */ (others)) {
    const found = `“${metadata.format}”, version ${metadata.schema_version};`;
    const message = new RegExp(`${found} expected “vit-pages-engine”, version 1`);
    assert.throws(() => readPlan(made(metadata)), { code: 'bad_model', message });
  }
  const plan = { format: 'vit-pages-engine', schema_version: '1', plan: '{"sizes":' };
  assert.throws(() => readPlan(made(plan)), { code: 'bad_model', message: /no plan/ });
});

test('the description has the sizes in order, epsilon as its bits, and the threads', () => {
  const found = describe({ sizes: SIZES, parts: [], run: 0 }, 3, 2);
  const epsilon = new Int32Array(Float32Array.of(1e-6).buffer)[0];
  assert.deepEqual([...found], [28, 21, 7, 7, 48, 3, 16, 192, 2, 1, 0, 10, 1, 4, epsilon, 3, 1, 2]);
});

/** One function → i32, named contract: 1, which is the fingerprint of no contract. */
const OTHER_ENGINE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 2, 15, 1, 3, 101, 110, 118, 6, 109, 101, 109, 111, 114, 121, 2,
  0, 1, 3, 2, 1, 0, 7, 12, 1, 8, 99, 111, 110, 116, 114, 97, 99, 116, 0, 0, 10, 6, 1, 4, 0, 65, 1, 11,
];

test('an engine that was made from another contract is rejected', async () => {
  const module = await WebAssembly.compile(new Uint8Array(OTHER_ENGINE));
  const plan = { sizes: SIZES, parts: [], run: 0 };
  await assert.rejects(instantiateModel(module, plan, 1, 1), {
    code: 'internal',
    message: /different versions/,
  });
});

test('a description of sizes that int32 cannot hold is rejected, and names them', () => {
  for (const value of [2 ** 31, -(2 ** 31) - 1, 2 ** 32 + 48, 0.5, NaN])
    assert.throws(() => describe({ sizes: { ...SIZES, dim: value }, parts: [], run: 0 }, 1, 1), {
      code: 'bad_model',
      message: /: dim\.$/,
    });
});

/**
 * Let a tuner run until it has found out; return the numbers of threads that it tried.
 * @param {ThreadTuner} tuner
 * @param {(threads: number, run: number) => number} time
 */
function tryAll(tuner, time) {
  const tried = [];
  while (!tuner.settled) {
    tried.push(tuner.next);
    tuner.record(time(tuner.next, tried.length - 1));
  }
  return tried;
}

/** @param {number} most @param {(threads: number, run: number) => number} time */
function fastestOf(most, time) {
  const tuner = new ThreadTuner(most);
  tryAll(tuner, time);
  return tuner.fastest;
}

/** Return a function that gives numbers from 0 to 1, the same for each seed. @param {number} seed */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** How often, of 200 times, a tuner finds a number of threads. @param {number} most @param {number} threads @param {(next: () => number) => (threads: number, run: number) => number} times */
function countFound(most, threads, times) {
  return Array.from({ length: 200 }, (_, seed) => fastestOf(most, times(numbers(7919 * seed)))).filter(
    (n) => n === threads,
  ).length;
}

test('a tuner compares all threads with half of them, and goes on for as long as half are as fast', () => {
  for (const [most, least, halves] of /** @type {[number, number, number[]][]} */ ([
    [2, 1, [1]],
    [3, 1, [2, 1]],
    [4, 2, [2, 1]],
    [7, 4, [4, 2]],
    [8, 2, [4, 2, 1]],
  ])) {
    const tuner = new ThreadTuner(most);
    assert.equal(tuner.fastest, most, 'until it is found out');
    assert.match(tuner.reason, /test whether fewer/);
    const tried = tryAll(tuner, (threads) => 20 + 10 * Math.abs(threads - least));
    assert.deepEqual([...new Set(tried)], [most, ...halves]);
    assert.equal(tuner.next, least);
    assert.equal(tuner.fastest, least);
    assert.equal(tuner.reason, `${least} of ${most} threads were the fastest here`);
    tuner.record(1);
    assert.deepEqual([tuner.next, tuner.fastest], [least, least], 'it stays so');
  }
});

test('the first tenths of a second have all threads, and do not count', () => {
  // As in Chromium: compiling takes the second core for the first 25 runs, a tenth of a second.
  const settling = (/** @type {number} */ threads, /** @type {number} */ run) => {
    const compiling = run < 4 ? 15 - 3 * run : 0;
    return compiling + (threads === 1 ? 3.1 : run < 25 ? 3.6 : 2);
  };
  const tuner = new ThreadTuner(2);
  const tried = tryAll(tuner, settling);
  assert.deepEqual([tuner.fastest, tuner.reason], [2, '']);
  assert.ok(tried.slice(0, 40).every((threads) => threads === 2));
});

test('what a page draws beside the runs costs no thread', () => {
  // On two cores: of 23 ms with two threads 8 to 22 more in most runs, of 42 ms with one 10 more in few.
  const drawing = (/** @type {() => number} */ next) => (/** @type {number} */ threads) =>
    threads === 2 ? 23 + (next() < 0.6 ? 8 + 14 * next() : 0) : 42 + (next() < 0.2 ? 10 : 0);
  assert.equal(countFound(2, 2, drawing), 200);
});

test('other work on the device costs no thread either, however slow it makes the runs', () => {
  // With two threads, where both cores are free in a third of the runs only.
  const busy = (/** @type {() => number} */ next) => (/** @type {number} */ threads) =>
    threads === 2 ? (next() < 0.35 ? 23 : 35 + 20 * next()) : 42 + 4 * next();
  assert.ok(countFound(2, 2, busy) >= 190);
  // Where none is, and times tell nothing.
  const overloaded = (/** @type {() => number} */ next) => () => 40 + 160 * next() ** 2;
  assert.ok(countFound(2, 2, overloaded) >= 180);
});

test('a core that other work keeps busy is left to it, where a second thread gains nothing there', () => {
  // As in Chromium on two cores beside a process that never waits.
  const shared = (/** @type {() => number} */ next) => (/** @type {number} */ threads) =>
    threads === 2 ? (next() < 0.35 ? 38 : 55 + 20 * next()) : next() < 0.4 ? 38 : 48 + 14 * next();
  assert.ok(countFound(2, 1, shared) >= 180);
});

test('threads that have no core of their own are found out, beside other work too', () => {
  const times = /** @type {Record<number, number>} */ ({ 4: 35, 2: 23, 1: 42 });
  const disturbed = (/** @type {() => number} */ next) => (/** @type {number} */ threads) =>
    times[threads] * (next() < 0.3 ? 1 + next() : 1);
  assert.ok(countFound(4, 2, disturbed) >= 195);
});

test('a tuner ends even if every run is faster than the last, or takes no time that a clock can tell', () => {
  for (const time of [(/** @type {number} */ _, /** @type {number} */ run) => 1000 * 0.9 ** run, () => 0]) {
    const tuner = new ThreadTuner(2);
    assert.ok(tryAll(tuner, time).length <= 300);
  }
});

test('more threads are kept only where they are worth it', () => {
  const fastest = (/** @type {Record<number, number>} */ times) => fastestOf(4, (threads) => times[threads]);
  assert.equal(fastest({ 4: 94, 2: 95, 1: 100 }), 1);
  assert.equal(fastest({ 4: 91, 2: 92, 1: 100 }), 2);
  assert.equal(fastest({ 4: 50, 2: 92, 1: 100 }), 4);
  assert.equal(fastest({ 4: 0, 2: 0, 1: 0 }), 1);
});

test('with one thread there is nothing to try', () => {
  const tuner = new ThreadTuner(1);
  assert.deepEqual([tuner.settled, tuner.next, tuner.fastest, tuner.reason], [true, 1, 1, '']);
  tuner.record(5);
  assert.deepEqual([tuner.settled, tuner.next, tuner.fastest, tuner.reason], [true, 1, 1, '']);
});
