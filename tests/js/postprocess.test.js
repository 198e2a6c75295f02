import assert from 'node:assert/strict';
import test from 'node:test';
import { energy, interpret, sigmoid, softmax, topClasses } from '../../site/js/worker/postprocess.js';

test('softmax sums to one and keeps ratios, however large the logits', () => {
  const probabilities = softmax(Float32Array.of(1000, 1000 + Math.log(3), -1000));
  assert.ok(Math.abs(probabilities.reduce((sum, value) => sum + value, 0) - 1) < 1e-12);
  assert.ok(Math.abs(probabilities[1] / probabilities[0] - 3) < 1e-3);
  assert.equal(probabilities[2], 0);
});

test('the top classes come best first, equals by index, at most as many as there are', () => {
  const top = topClasses(Float32Array.of(0, 2, 1, 2), 3, 'softmax');
  assert.deepEqual(
    top.map(({ index }) => index),
    [1, 3, 2],
  );
  assert.equal(top[0].probability, top[1].probability);
  assert.ok(top[1].probability > top[2].probability);
  assert.equal(topClasses(Float32Array.of(1, 2), 5, 'softmax').length, 2);
});

test('a single output is a probability of its own, not always 100 %', () => {
  const [only] = topClasses(Float32Array.of(-Math.log(3)), 5, 'sigmoid');
  assert.equal(only.index, 0);
  assert.ok(Math.abs(only.probability - 0.25) < 1e-6);
});

test('several labels do not exclude each other', () => {
  const top = topClasses(Float32Array.of(-1000, 2, 3, 1000), 3, 'sigmoid');
  assert.deepEqual(
    top.map(({ index }) => index),
    [3, 2, 1],
  );
  assert.ok(top[1].probability > 0.95 && top[2].probability > 0.88);
  assert.deepEqual([...sigmoid(Float32Array.of(-1000, 0, 1000))], [0, 0.5, 1]);
});

test('a temperature keeps the order, and above one makes probabilities more alike', () => {
  const logits = Float32Array.of(0, 2 * Math.log(3));
  const [plain, warm] = [1, 2].map((temperature) => topClasses(logits, 2, 'softmax', temperature));
  assert.ok(Math.abs(plain[0].probability - 0.9) < 1e-6);
  assert.ok(Math.abs(warm[0].probability - 0.75) < 1e-6);
  assert.deepEqual([plain[0].index, warm[0].index], [1, 1]);
});

test('the energy of equal logits is theirs plus T·log of their number, however large they are', () => {
  for (const logit of [0, -3, 1000]) {
    assert.ok(Math.abs(energy(Float32Array.of(logit, logit, logit, logit), 2) - (logit + 2 * Math.log(4))) < 1e-9);
  }
});

test('an image whose energy is below the threshold is unknown, with the nearest classes all the same', () => {
  const logits = Float32Array.of(1, 0, 1, 1);
  const at = energy(logits, 2);
  const confidence = { temperature: 0.5, energy_temperature: 2, threshold: at };
  /** @type {{features: boolean, probabilities: 'softmax', confidence: typeof confidence | null}} */
  const model = { features: false, probabilities: 'softmax', confidence };
  assert.equal(interpret(logits, 2, model).unknown, false);
  const above = interpret(logits, 2, { ...model, confidence: { ...confidence, threshold: at + 1e-6 } });
  assert.equal(above.unknown, true);
  assert.deepEqual(above.top, topClasses(logits, 2, 'softmax', 0.5));
  const without = interpret(logits, 2, { ...model, confidence: null });
  assert.deepEqual(without, { unknown: false, top: topClasses(logits, 2, 'softmax') });
  assert.deepEqual(interpret(logits, 2, { ...model, features: true }), { top: [], unknown: false });
});
