import assert from 'node:assert/strict';
import test from 'node:test';
import { softmax, topClasses } from '../../site/js/worker/postprocess.js';

test('softmax sums to one and keeps ratios, however large the logits', () => {
  const probabilities = softmax(Float32Array.of(1000, 1000 + Math.log(3), -1000));
  assert.ok(Math.abs(probabilities.reduce((sum, value) => sum + value, 0) - 1) < 1e-12);
  assert.ok(Math.abs(probabilities[1] / probabilities[0] - 3) < 1e-3);
  assert.equal(probabilities[2], 0);
});

test('the top classes come best first, equals by index, at most as many as there are', () => {
  const top = topClasses(Float32Array.of(0, 2, 1, 2), 3);
  assert.deepEqual(
    top.map(({ index }) => index),
    [1, 3, 2],
  );
  assert.equal(top[0].probability, top[1].probability);
  assert.ok(top[1].probability > top[2].probability);
  assert.equal(topClasses(Float32Array.of(1, 2), 5).length, 2);
});
