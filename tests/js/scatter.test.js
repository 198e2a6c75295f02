import assert from 'node:assert/strict';
import test from 'node:test';
import { positionOf } from '../../site/js/page/ui/scatter.js';

test('a latency lies on the logarithmic axis, and beyond its ends at the end', () => {
  const axis = { fastest: '1', slowest: '100', left: '50', right: '250' };
  const places = [1, 10, 100, 0.01, 5000].map((milliseconds) => positionOf(axis, milliseconds));
  assert.deepEqual(places.map(Math.round), [50, 150, 250, 50, 250]);
});
