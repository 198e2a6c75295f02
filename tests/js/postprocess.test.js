import assert from 'node:assert/strict';
import test from 'node:test';
import { sigmoid, softmax, topClasses } from '../../site/js/worker/postprocess.js';

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
