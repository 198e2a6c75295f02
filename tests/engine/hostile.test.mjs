/**
 * Files of our engine that are damaged, or made to do harm: each is rejected as a bad model; none traps or hangs.
 *
 *   node tests/engine/hostile.test.mjs MODEL.vit WASM_DIR
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';
import { VitError } from '../../site/js/common/errors.js';
import { engine } from '../../site/js/engines/vit/vit.js';
import { actAsBrowser, THREAD_SCRIPT } from '../../site/tools/node_browser.mjs';
import { putTogether, takeApart } from './file.mjs';

actAsBrowser();
const file = new Uint8Array(readFileSync(process.argv[2]));
const wasmPath = `${pathToFileURL(resolve(process.argv[3])).href}/`;
const { plan: whole } = takeApart(file);

/** @param {Uint8Array<ArrayBuffer>} bytes @param {{build?: string, threads?: number}} [choices] */
function load(bytes, choices) {
  const options = { backend: 'wasm', wasmPath, threadScript: THREAD_SCRIPT, threads: 1, build: 'plain', ...choices };
  return engine.load({ files: new Map([['model.vit', bytes]]) }, options);
}

/** @param {Uint8Array<ArrayBuffer>} bytes @param {string} what @param {RegExp} [message] */
async function rejected(bytes, what, message = /./) {
  for (const threads of [1, 2]) {
    const outcome = await load(bytes, { threads }).catch((error) => error);
    assert.ok(outcome instanceof VitError, `${what}: ${outcome?.stack ?? 'was loaded'}`);
    assert.equal(outcome.code, 'bad_model', `${what}: ${outcome.message}`);
    assert.match(outcome.message, message, what);
  }
}

/**
 * @param {string} what
 * @param {(parts: import('./file.mjs').Parts) => unknown} change
 * @param {RegExp} [message]
 */
async function rejectedWith(what, change, message) {
  const parts = takeApart(file);
  change(parts);
  await rejected(putTogether(parts), what, message);
}

/** @param {Record<string, unknown>} sizes @param {RegExp} [message] */
const rejectedSizes = (sizes, message) =>
  rejectedWith(JSON.stringify(sizes), ({ plan }) => Object.assign(plan.sizes, sizes), message);

test('taken apart and put together, the file is as good as it was', async () => {
  const session = await load(putTogether(takeApart(file)));
  const outputs = await session.run(new Float32Array(3 * whole.sizes.height * whole.sizes.width));
  assert.ok(outputs.every(Number.isFinite));
  await assert.rejects(session.run(new Float32Array(5)), { code: 'bad_request', message: /5 values/ });
  await session.dispose();
});

test('a file that is cut or goes on is rejected', async () => {
  const header = Number(new DataView(file.buffer).getBigUint64(0, true));
  for (const length of [0, 1, 7, 8, 9, header, header + 8, header + 9, file.length / 2, file.length - 1])
    await rejected(file.slice(0, length), `cut to ${length}`);
  await rejected(new Uint8Array([...file, 0]), 'one byte more');
  await assert.rejects(engine.load({ files: new Map() }, { backend: 'wasm', wasmPath }), { code: 'bad_model' });
});

test('another format or version is rejected with a reason', async () => {
  await rejectedWith('format', ({ metadata }) => (metadata.format = 'pt'), /“pt”/);
  await rejectedWith('none', ({ metadata }) => delete metadata.format, /undefined/);
  await rejectedWith('version', ({ metadata }) => (metadata.schema_version = '2'), /version 2; .*version 1\./);
});

test('a plan that is none is rejected', async () => {
  for (const plan of ['', '{', '[]', 'null', '5', '{}', '{"sizes":{}}', '{"sizes":[],"tensors":[]}'])
    await rejectedWith(`plan ${plan}`, (parts) => (parts.plan = plan));
  for (const tensors of [null, 5, {}, [], [[]], [5], [null], [['head.weight']], [[5, 8]], [['__proto__', 8]]])
    await rejectedWith(`tensors ${JSON.stringify(tensors)}`, ({ plan }) => (plan.tensors = tensors));
  const many = Array.from({ length: 20_000 }, () => ['norm.gamma', 0]);
  await rejectedWith('many tensors', ({ plan }) => plan.tensors.push(...many), /tensors/);
});

for (const name of Object.keys(whole.sizes).filter((size) => size !== 'epsilon')) {
  test(`an absurd ${name} is rejected`, async () => {
    const own = whole.sizes[name];
    await rejectedWith(`no ${name}`, ({ plan }) => delete plan.sizes[name], /./);
    for (const value of [-1, -8, 1.5, own + 0.5, null, '8', [8], {}, true, 1e300, 2 ** 53])
      await rejectedSizes({ [name]: value });
    // Those that are the model's own once they are cut to 32 bits are the most dangerous.
    for (const value of [2 ** 31 - 1, 2 ** 31 - 8, -(2 ** 31), 2 ** 32 + own, 2 ** 32 - 8])
      await rejectedSizes({ [name]: value });
    // What is in range contradicts the tensors.
    if (!['flags', 'floats', 'pool'].includes(name))
      for (const value of [own + 8, own * 2 + 8]) await rejectedSizes({ [name]: value });
  });
}

test('sizes whose memory exceeds 32 bits are too large, not small', async () => {
  const wide = { dim: 8192, hidden: 32768, heads: 128, head_dim: 64 };
  for (const depth of [6, 7, 8, 11, 16, 31, 32, 64, 100, 128])
    for (const hidden of [8192, 16384, 24576, 32768]) await rejectedSizes({ ...wide, depth, hidden }, /large|range/);
  const square = { height: 512, width: 512, patch_height: 4, patch_width: 4, depth: 4 };
  for (const hidden of [4096, 8192, 16384, 32768]) await rejectedSizes({ ...square, ...wide, hidden }, /large|range/);
});

test('sizes that contradict each other are rejected', async () => {
  const { height, width } = whole.sizes;
  for (const sizes of [
    { patch_height: height + 1 },
    { patch_width: width + 1 },
    { dim: 44 },
    { head_dim: 20 },
    { hidden: 100 },
    { prefix: 0 },
    { classifiers: 2 },
    { classifiers: 3 },
    { classes: 0 },
    { classes: 65_537 },
    { pool: 3 },
    { pool: 2, classifiers: 2 },
    { flags: 32 },
    { floats: whole.sizes.floats ^ 1 },
    { floats: whole.sizes.floats ^ 2 },
    { floats: whole.sizes.floats | 4 },
    { depth: 129 },
    { heads: 1025 },
    { heads: 1024, head_dim: 16 },
    { height: 4097 },
    { height: 4096, width: 4096, patch_height: 1, patch_width: 1 },
  ])
    await rejectedSizes(sizes);
});

test('an epsilon that is no small positive number is rejected', async () => {
  for (const epsilon of ['NaN', '-NaN', '1e999', '"1e-6"', 'null', '0', '-0', '-1e-6', '1', '1e9', '1e-60', 'true'])
    await rejectedWith(`epsilon ${epsilon}`, (parts) => {
      parts.plan.sizes.epsilon = 'EPSILON';
      parts.plan = JSON.stringify(parts.plan).replace('"EPSILON"', epsilon);
    });
});

test('tensors that are missing, swapped, of other bits or of other lengths are rejected', async () => {
  for (const [index, [name, bits]] of whole.tensors.entries()) {
    await rejectedWith(`no ${name}`, ({ tensors }) => tensors.delete(name), new RegExp(name));
    await rejectedWith(`${name} not listed`, ({ plan }) => plan.tensors.splice(index, 1));
    await rejectedWith(`${name} twice`, ({ plan }) => plan.tensors.splice(index, 0, [name, bits]));
    await rejectedWith(`${name} a number less`, ({ tensors }) => {
      const { dtype, bytes } = /** @type {import('./file.mjs').Tensor} */ (tensors.get(name));
      const width = { U8: 1, F16: 2, F32: 4 }[dtype] ?? 0;
      const length = bytes.byteLength / width - 1;
      tensors.set(name, { dtype, shape: [length], bytes: bytes.subarray(0, length * width) });
    });
    await rejectedWith(`${name} of the other kind`, ({ tensors }) => {
      const { bytes } = /** @type {import('./file.mjs').Tensor} */ (tensors.get(name));
      const shape = [bits ? bytes.byteLength / 2 : bytes.byteLength];
      tensors.set(name, { dtype: bits ? 'I16' : 'I8', shape, bytes });
    });
  }
});

test('wrong bits are rejected', async () => {
  const index = whole.tensors.findIndex((/** @type {[string, number]} */ [, bits]) => bits > 0);
  for (const bits of [-1, 0, 1, 2, 4, 9, 16, 32, 8.5, 1e300, 2 ** 32 + 8, null, '8', [8], {}, true])
    await rejectedWith(`bits ${JSON.stringify(bits)}`, ({ plan }) => (plan.tensors[index][1] = bits));
});

test('weights that leave no room for sums in 16 bits are rejected, whatever the plan says', async () => {
  const parts = takeApart(file);
  parts.plan.run = 8;
  await assert.rejects(load(putTogether(parts), { build: 'unsigned-pairs' }), {
    code: 'bad_model',
    message: /do not allow/,
  });
  for (const run of [undefined, null, '4', 0.5, 2 ** 40, {}])
    await rejectedWith(`run ${run}`, ({ plan }) => (plan.run = run));
});

for (const build of ['plain', 'signed', 'unsigned'])
  test(`${build}: numbers that are none give no answer, but nothing worse`, async () => {
    for (const value of [NaN, Infinity, -Infinity, 3e38, -3e38, 1e-45, 0, -1, 5e9]) {
      const parts = takeApart(file);
      for (const [name, { dtype, shape, bytes }] of parts.tensors) {
        if (dtype === 'U8') continue;
        const count = shape.reduce((product, size) => product * size, 1);
        const values = new Uint8Array(new Float32Array(count).fill(value).buffer);
        parts.tensors.set(name, { dtype: 'F32', shape, bytes: dtype === 'U8' ? bytes : values });
      }
      const session = await load(putTogether(parts), { build }).catch((error) => error);
      if (session instanceof VitError) assert.equal(session.code, 'bad_model');
      else
        assert.equal(
          (await session.run(new Float32Array(3 * whole.sizes.height * whole.sizes.width).fill(value))).length,
          10,
        );
    }
  });
