import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { readGraphModel } from '../../site/js/engines/tfjs_model.js';
import { decodePacked, packedBytes, unpackCodes } from '../../site/js/packed.js';

const vectors = JSON.parse(readFileSync(new URL('../vectors/packed.json', import.meta.url), 'utf8'));

test('packed weights decode to the very values that Python wrote', () => {
  assert.deepEqual([...new Set(vectors.map(({ packed }) => packed.bits))], [3, 4, 5, 6, 7, 8]);
  for (const { packed, bytes, codes, values } of vectors) {
    const [rows, ...rest] = packed.shape;
    const columns = rest.reduce((a, b) => a * b, 1);
    const data = Uint8Array.from(bytes);
    assert.equal(packedBytes('w', packed), data.length);
    assert.deepEqual([...unpackCodes(data, rows, columns, packed.bits)], codes);
    assert.deepEqual([...decodePacked('w', packed, data)], values);
  }
});

test('a packed weight lies between others in the shards', () => {
  const { packed, bytes, values } = vectors[0];
  const entry = { name: 'a/weight', shape: [7, 5], dtype: 'float32', packed };
  const model = {
    format: 'graph-model',
    modelTopology: {},
    weightsManifest: [
      {
        paths: ['1', '2'],
        weights: [
          { name: 'before', shape: [2], dtype: 'float32' },
          entry,
          { name: 'after', shape: [1], dtype: 'int32' },
        ],
      },
    ],
  };
  const all = Uint8Array.of(0, 0, 128, 63, 0, 0, 0, 64, ...bytes, 7, 0, 0, 0);
  const files = (/** @type {object} */ json, end = all.length) =>
    new Map([
      ['model.json', new TextEncoder().encode(JSON.stringify(json))],
      ['1', all.slice(0, 20)],
      ['2', all.slice(20, end)],
    ]);
  const { weightSpecs, weightData } = readGraphModel(files(model));
  const data = /** @type {ArrayBuffer[]} */ (weightData);
  assert.deepEqual([...new Float32Array(data[0])], [1, 2]);
  assert.deepEqual([...new Float32Array(data[1])], values);
  assert.deepEqual([...new Int32Array(data[2])], [7]);
  assert.deepEqual(weightSpecs?.[1], { name: 'a/weight', shape: [7, 5], dtype: 'float32' });
  assert.throws(() => readGraphModel(files(model, all.length - 1)), { code: 'bad_model' });
});

test('what cannot be a packed weight is refused', () => {
  const { packed, bytes } = vectors[0];
  const data = Uint8Array.from(bytes);
  assert.throws(() => decodePacked('w', packed, data.subarray(1)), { code: 'bad_model', message: /w has/ });
  for (const broken of [{ bits: 2 }, { bits: 9 }, { shape: [0, 7] }, { shape: 5 }, { axes: [0, 0] }, { axes: [0] }])
    assert.throws(() => packedBytes('w', { ...packed, ...broken }), { code: 'bad_model' });
});
