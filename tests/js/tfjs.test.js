import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';
import { openEngine } from '../../site/js/engines/index.js';
import { buildFor } from '../../site/js/engines/tfjs/model.js';
import { engine } from '../../site/js/engines/tfjs/tfjs.js';
import { tinyModel, twoGraphs, WEIGHTS } from './tiny_model.js';

const tf = createRequire(new URL('../../site/package.json', import.meta.url))('@tensorflow/tfjs-core');
const INPUT = Float32Array.from({ length: 12 }, (_, index) => Math.sin(index));

/** @param {Float32Array} input @returns {number[]} */
function product(input) {
  return [0, 1, 2, 3].map((column) => input.reduce((sum, value, row) => sum + value * WEIGHTS[row * 4 + column], 0));
}

/** @param {Float32Array} found @param {number[]} truth */
function assertClose(found, truth) {
  assert.equal(found.length, truth.length);
  for (const [index, value] of truth.entries())
    assert.ok(Math.abs(found[index] - value) < 1e-4, `${found[index]} is not ${value}`);
}

for (const backend of ['wasm', 'cpu']) {
  test(`${backend}: uint8 weights come out as q·scale + min, and the session can be made again`, async () => {
    for (let round = 0; round < 2; round++) {
      const session = await engine.load({ files: tinyModel() }, { backend });
      assert.equal(session.backend, backend);
      assert.deepEqual(session.input, [2, 2, 3]);
      assertClose(await session.run(INPUT), product(INPUT));
      await session.dispose();
    }
  });
}

test('a run leaves no tensor behind, and dispose leaves none at all', async () => {
  const session = await engine.load({ files: tinyModel() }, { backend: 'wasm' });
  await session.run(INPUT);
  const { numTensors, numBytes } = tf.memory();
  for (let run = 0; run < 5; run++) await session.run(INPUT);
  assert.equal(tf.memory().numTensors, numTensors);
  assert.equal(tf.memory().numBytes, numBytes);
  await session.dispose();
  assert.equal(tf.engine().state.numTensors, 0);
});

test('a model with channels first gets them first', async () => {
  const session = await engine.load({ files: tinyModel({ shape: [1, 3, 2, 2] }) }, { backend: 'cpu' });
  assert.deepEqual(session.input, [2, 2, 3]);
  const planes = Float32Array.from(INPUT, (_, index) => INPUT[(index % 4) * 3 + Math.floor(index / 4)]);
  assertClose(await session.run(INPUT), product(planes));
  await session.dispose();
});

test('an input of the wrong length is rejected', async () => {
  const session = await engine.load({ files: tinyModel() }, { backend: 'cpu' });
  await assert.rejects(session.run(new Float32Array(11)), { code: 'bad_request', message: /11 values.*12/ });
  await session.dispose();
});

test('damaged models are rejected, and say where', async () => {
  /** @type {[RegExp, (files: Map<string, Uint8Array<ArrayBuffer>>) => unknown][]} */
  const damages = [
    [/no model\.json/, (files) => files.delete('model.json')],
    [/not JSON/, (files) => files.set('model.json', new TextEncoder().encode('<html>'))],
    [/“layers-model”/, (files) => replace(files, 'graph-model', 'layers-model')],
    [/lacks the weight file part2\.bin/, (files) => files.delete('part2.bin')],
    [/have 55 bytes.*56/, (files) => files.set('part2.bin', new Uint8Array(35))],
    [/w is stored as uint4/, (files) => replace(files, '"dtype":"uint8"', '"dtype":"uint4"')],
    [/cannot run this model/, (files) => replace(files, '"op":"MatMul"', '"op":"Frobnicate"')],
    [
      /input is \[1,2,6\]/,
      (files) => files.set('model.json', /** @type {any} */ (tinyModel({ shape: [1, 2, 6] }).get('model.json'))),
    ],
  ];
  for (const [message, damage] of damages) {
    const files = tinyModel();
    damage(files);
    await assert.rejects(
      engine.load({ files }, { backend: 'cpu' }).then((session) => session.run(INPUT)),
      { code: 'bad_model', message },
    );
  }
});

test('a GPU runs the graph made for it, on the weights of the other', async () => {
  const files = twoGraphs();
  assert.deepEqual(
    ['wasm', 'webgl', 'webgpu', 'cpu'].map((backend) => buildFor(files, backend)),
    ['cpu', 'gpu', 'gpu', 'cpu'],
  );
  assert.equal(buildFor(tinyModel(), 'webgl'), 'cpu'); // it has no other
  const plain = await engine.load({ files }, { backend: 'cpu' });
  assert.equal(plain.build, undefined);
  assertClose(await plain.run(INPUT), product(INPUT));
  await plain.dispose();
  const before = tf.engine().state.numTensors;
  const session = await engine.load({ files }, { backend: 'cpu', build: 'gpu' });
  assert.equal(session.build, 'gpu');
  const twice = [...product(INPUT), ...product(INPUT)];
  assertClose(
    await session.run(INPUT),
    twice.map((value, index) => value + index),
  );
  assert.equal(tf.engine().state.numTensors, before + 3, 'what only the other graph needs is freed');
  await session.dispose();
  assert.equal(tf.engine().state.numTensors, before);
});

test('a graph for GPUs that does not fit is rejected, and says why', async () => {
  /** @type {[string, RegExp, (files: Map<string, Uint8Array<ArrayBuffer>>) => unknown][]} */
  const damages = [
    ['gpu', /no model_gpu\.json/, (files) => files.delete('model_gpu.json')],
    ['gpu', /lacks the weight file gpu\.bin/, (files) => files.delete('gpu.bin')],
    ['gpu', /have 84 bytes.*88/, (files) => files.set('gpu.bin', new Uint8Array(28))],
    [
      'gpu',
      /takes v from model\.json, which lacks it/,
      (files) => replace(files, '["w","w"]', '["w","v"]', 'model_gpu.json'),
    ],
    ['abacus', /no build “abacus”; it has: cpu, gpu/, () => {}],
  ];
  for (const [build, message, damage] of damages) {
    const files = twoGraphs();
    damage(files);
    const code = build === 'gpu' ? 'bad_model' : 'bad_request';
    await assert.rejects(engine.load({ files }, { backend: 'cpu', build }), { code, message });
  }
});

/** @param {Map<string, Uint8Array<ArrayBuffer>>} files @param {string} from @param {string} to */
function replace(files, from, to, name = 'model.json') {
  const text = new TextDecoder().decode(files.get(name));
  assert.ok(text.includes(from));
  files.set(name, new TextEncoder().encode(text.replace(from, to)));
}

test('a back end that is not here is rejected with those that are', async () => {
  await assert.rejects(engine.load({ files: tinyModel() }, { backend: 'webgl' }), {
    code: 'backend_unavailable',
    message: /“webgl”.*Available: wasm, cpu\./,
  });
  await assert.rejects(engine.load({ files: tinyModel() }, { backend: 'abacus' }), {
    code: 'backend_unavailable',
    message: /no such backend/,
  });
  const states = await engine.backends();
  assert.deepEqual(
    states.map(({ name, available }) => [name, available]),
    [
      ['wasm', true],
      ['webgl', false],
      ['webgpu', false],
      ['cpu', true],
    ],
  );
  assert.ok(states.every(({ available, reason }) => available || reason !== ''));
});

test('an unknown engine is rejected with those there are', async () => {
  await assert.rejects(openEngine('abacus'), { code: 'bad_request', message: /abacus.*tfjs/ });
});
