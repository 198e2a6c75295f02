import assert from 'node:assert/strict';
import test from 'node:test';
import { requirePassed } from '../../site/js/common/selftest_result.js';
import { sha256Of } from '../../site/js/common/sha256.js';
import { ENGINES, openEngine } from '../../site/js/engines/index.js';
import { FileCache } from '../../site/js/worker/cache.js';
import { Runtime } from '../../site/js/worker/runtime.js';
import { readReference, selfTest } from '../../site/js/worker/selftest.js';

const COUNT = 8;
const SIDE = 4;
const OUTPUTS = 5;
/** @type {import('../../site/js/common/site_data.js').Preprocess} */
const PREPROCESS = {
  ...{ size: SIDE, crop_pct: 1, interpolation: 'bicubic', mean: [0, 0, 0], std: [1, 1, 1] },
  crop_mode: 'center',
};
const IMAGES = Uint8Array.from(
  { length: COUNT * SIDE * SIDE * 3 },
  (_, index) => (index * 37 + (index >> 4) * 11) % 256,
);
const SURE = { max_abs_diff: 0.01, agrees: Array(COUNT).fill(true) };

/** A model: each output is the mean of the channels' values, weighted by place. @param {Float32Array} values */
const model = async (values) =>
  Float32Array.from({ length: OUTPUTS }, (_, output) =>
    values.reduce((sum, value, index) => sum + value * Math.sin(index * (output + 1)), 0),
  );

/** @param {Record<string, {dtype: string, shape: number[], bytes: Uint8Array}>} tensors @returns {Uint8Array} */
function safetensors(tensors) {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, { dtype, shape, bytes }]) => {
    const start = end;
    end += bytes.length;
    return [name, { dtype, shape, data_offsets: [start, end] }];
  });
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const length = new Uint8Array(new BigUint64Array([BigInt(header.length)]).buffer);
  return new Uint8Array(Buffer.concat([length, header, ...Object.values(tensors).map(({ bytes }) => bytes)]));
}

/** The nearest float16, for numbers of ordinary size. @param {number} value */
function toHalf(value) {
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  const fraction = Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024);
  return (value < 0 ? 0x8000 : 0) + ((exponent + 15) << 10) + fraction;
}

/** @param {number[]} [outputs] those kept @returns {Promise<Uint8Array>} the file of `model` */
async function file(outputs) {
  const size = SIDE * SIDE * 3;
  const rows = await Promise.all(
    Array.from({ length: COUNT }, (_, index) =>
      model(Float32Array.from(IMAGES.subarray(index * size, (index + 1) * size), (byte) => byte / 255)),
    ),
  );
  const kept = outputs ?? [...Array(OUTPUTS).keys()];
  const halves = Uint16Array.from(rows.flatMap((row) => kept.map((output) => toHalf(row[output]))));
  const logits = { dtype: 'F16', shape: [COUNT, kept.length], bytes: new Uint8Array(halves.buffer) };
  const images = { dtype: 'U8', shape: [COUNT, SIDE, SIDE, 3], bytes: IMAGES };
  const indices = { dtype: 'I32', shape: [kept.length], bytes: new Uint8Array(Int32Array.from(kept).buffer) };
  return safetensors(outputs ? { images, logits, outputs: indices } : { images, logits });
}

/**
 * @param {(values: Float32Array) => Promise<Float32Array>} run
 * @param {{expected?: import('../../site/js/common/site_data.js').ExpectedSelfTest, outputs?: number[], step?: number}} [options]
 */
async function tested(run, { expected = SURE, outputs, step = 0 } = {}) {
  let time = 0;
  const now = () => (time += step);
  return selfTest(run, readReference(await file(outputs)), expected, { preprocess: PREPROCESS, now });
}

test('a right back end passes, through the whole path from pixels', async () => {
  const { n, agreement, max_abs_diff, passed } = await tested(model);
  assert.deepEqual([n, agreement, passed], [8, 8, true]);
  assert.ok(max_abs_diff > 0 && max_abs_diff < 0.01); // float16 holds the outputs
});

test('garbage, constants, exchanged channels, another scale and no numbers are rejected', async () => {
  const wrong = {
    garbage: async () => Float32Array.from({ length: OUTPUTS }, (_, index) => 9 * Math.sin(index * 99)),
    constant: async () => new Float32Array(OUTPUTS),
    exchanged: async (/** @type {Float32Array} */ values) =>
      model(values.map((_, index) => values[index - (index % 3) + 2 - (index % 3)])),
    scaled: async (/** @type {Float32Array} */ values) => (await model(values)).map((value) => value * 1.2),
    nothing: async () => new Float32Array(OUTPUTS).fill(NaN),
  };
  for (const [name, run] of Object.entries(wrong)) assert.equal((await tested(run)).passed, false, name);
});

test('what a variant of few bits is off by itself is allowed twice', async () => {
  const off = (/** @type {number} */ by) => async (/** @type {Float32Array} */ values) =>
    (await model(values)).map((value, index) => value + (index % 2 ? by : -by));
  const coarse = { max_abs_diff: 1, agrees: SURE.agrees };
  assert.equal((await tested(off(1))).passed, false);
  assert.equal((await tested(off(1.9), { expected: coarse })).passed, true);
  assert.equal((await tested(off(3), { expected: coarse })).passed, false);
});

test('a variant that is far off is judged by the images on which it agrees', async () => {
  const reversed = async (/** @type {Float32Array} */ values) => (await model(values)).map((value) => -value);
  const loose = { max_abs_diff: 1000, agrees: SURE.agrees };
  assert.equal((await tested(reversed, { expected: loose })).passed, false);
  assert.equal((await tested(model, { expected: loose })).passed, true);
  const unsure = { max_abs_diff: 1000, agrees: SURE.agrees.map(() => false) };
  assert.equal((await tested(reversed, { expected: unsure })).passed, true);
});

test('a slow back end runs two images, a fast one all', async () => {
  assert.equal((await tested(model, { step: 5000 })).n, 2);
  assert.equal((await tested(model, { step: 10 })).n, 8);
});

test('of a model with very many outputs some are compared', async () => {
  assert.equal((await tested(model, { outputs: [0, 1, 2, 3, 4] })).agreement, 8);
  const other = async (/** @type {Float32Array} */ values) =>
    (await model(values)).map((value, index) => (index ? value : 90));
  const { agreement, max_abs_diff } = await tested(other, { outputs: [1, 2, 3, 4] });
  assert.equal(agreement, 0); // the largest of all outputs counts, kept or not
  assert.ok(max_abs_diff < 0.01);
});

test('a rejection names the back end and its figures', async () => {
  const result = await tested(async () => new Float32Array(OUTPUTS));
  assert.throws(
    () => requirePassed(result, 'webgl'),
    (/** @type {any} */ error) => {
      assert.equal(error.code, 'wrong_result');
      assert.match(error.message, /“webgl”.*on \d of 8 reference images, max abs difference [\d.]+.*allowed [\d.]+/);
      return true;
    },
  );
});

test('a file that holds no reference images is rejected', async () => {
  const images = { dtype: 'U8', shape: [8, 1, 1, 3], bytes: new Uint8Array(24) };
  const logits = { dtype: 'F32', shape: [8, 1], bytes: new Uint8Array(32) };
  const few = { dtype: 'F16', shape: [7, 1], bytes: new Uint8Array(14) };
  const files = [safetensors({ images }), safetensors({ images, logits }), safetensors({ images, logits: few })];
  for (const file of files) assert.throws(() => readReference(file), { code: 'bad_model' });
});

test('an engine passes for itself, not for another that loads the same files', async () => {
  const bytes = /** @type {Uint8Array<ArrayBuffer>} */ (await file());
  const record = { path: 'f', bytes: bytes.length, gzip_bytes: bytes.length, sha256: await sha256Of(bytes) };
  /** @param {(values: Float32Array) => Promise<Float32Array>} run @returns {import('../../site/js/engines/index.js').Engine} */
  const engineOf = (run) => ({
    name: 'plain',
    backends: async () => [],
    load: async (_, { backend }) => ({
      ...{ backend, threads: 1, threads_reason: '', decode_ms: 0, compile_ms: 0, run, dispose: async () => {} },
      input: [SIDE, SIDE, 3],
    }),
  });
  ENGINES.right = async () => ({ engine: engineOf(model) });
  ENGINES.wrong = async () => ({ engine: engineOf(async () => new Float32Array(OUTPUTS)) });
  const runtime = new Runtime(openEngine);
  const store = { match: async () => new Response(bytes), put: async () => {}, delete: async () => true };
  runtime.cache = new FileCache({ openStore: async () => store });
  /** @param {string} engine */
  const load = (engine) =>
    runtime.load(
      {
        model: {
          ...{ name: 'm', features: false, probabilities: 'softmax', confidence: null, outputs: OUTPUTS },
          preprocess: PREPROCESS,
          selftest: { ...record, folder: 'm/' },
        },
        variant: { id: 'v', engine, folder: 'v/', files: [record], selftest: SURE, ...record },
        ...{ backend: 'wasm', base: 'http://localhost/' },
      },
      { signal: new AbortController().signal, onProgress: () => {} },
    );
  assert.equal((await load('right')).selftest.passed, true);
  await assert.rejects(load('wrong'), { code: 'wrong_result' });
});
