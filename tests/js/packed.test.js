import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { readSafetensors } from '../../site/js/common/safetensors.js';
import { readGraphModel, unpackWeights } from '../../site/js/engines/tfjs/model.js';
import { decodePacked, packedBytes, rowBytes, unpackCodes } from '../../site/js/engines/tfjs/packed.js';
import { engine } from '../../site/js/engines/tfjs/tfjs.js';
import { tinyModel } from './tiny_model.js';

const file = new Uint8Array(readFileSync(new URL('../vectors/packed.safetensors', import.meta.url)));
/** @typedef {import('../../site/js/engines/tfjs/packed.js').Packed} Packed */
/** @typedef {{packed: Packed, bytes: number[], codes: number[], values: number[]}} Vector */
/** @type {Vector[]} */
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
  const entry = { name: 'a/weight', shape: [5, 7], dtype: 'float32', packed };
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
  const { weightSpecs, weightData } = unpackWeights(readGraphModel(files(model), 'cpu').artifacts);
  const data = /** @type {ArrayBuffer[]} */ (weightData);
  assert.deepEqual([...new Float32Array(data[0])], [1, 2]);
  assert.deepEqual([...new Float32Array(data[1])], values);
  assert.deepEqual([...new Int32Array(data[2])], [7]);
  assert.deepEqual(weightSpecs?.[1], { name: 'a/weight', shape: [5, 7], dtype: 'float32' });
  assert.throws(() => readGraphModel(files(model, all.length - 1), 'cpu'), { code: 'bad_model' });
  for (const other of [{ shape: [7, 5] }, { shape: [35, 1] }, { dtype: 'int32' }, { shape: undefined }]) {
    Object.assign(entry, { shape: [5, 7], dtype: 'float32' }, other);
    assert.throws(() => readGraphModel(files(model), 'cpu'), { code: 'bad_model', message: /a\/weight/ });
  }
});

/** The tiny model with its weight packed: 6 bits, scale 0.5 and zero point 6 make the same values. */
function packedModel() {
  const files = tinyModel();
  const rows = [0, 1, 2, 3].map((row) => {
    let bits = 0n;
    for (let column = 11; column >= 0; column--) bits = (bits << 6n) | BigInt(column * 4 + row);
    return Array.from({ length: 9 }, (_, index) => Number((bits >> BigInt(8 * index)) & 255n));
  });
  const scales = new Uint8Array(Float32Array.of(0.5, 0.5, 0.5, 0.5).buffer);
  const flat = new Uint8Array(Int32Array.of(1, 12).buffer);
  const model = JSON.parse(new TextDecoder().decode(files.get('model.json')));
  const packed = { bits: 6, shape: [4, 12], axes: [1, 0], zero_points: true };
  model.weightsManifest[0].weights[0] = { name: 'w', shape: [12, 4], dtype: 'float32', packed };
  files.set('model.json', new TextEncoder().encode(JSON.stringify(model)));
  files.set('part2.bin', Uint8Array.of(...rows.flat(), ...scales, 6, 6, 6, 6, ...flat).slice(20));
  return files.set('part1.bin', Uint8Array.from(rows.flat().slice(0, 20)));
}

for (const backend of ['wasm', 'cpu']) {
  test(`${backend}: packed weights compute what the same weights as uint8 do`, async () => {
    const input = Float32Array.from({ length: 12 }, (_, index) => Math.sin(index));
    const outputs = [];
    for (const files of [tinyModel(), packedModel()]) {
      const session = await engine.load({ files }, { backend });
      outputs.push([...(await session.run(input))]);
      await session.dispose();
    }
    assert.deepEqual(outputs[1], outputs[0]);
  });
}

test('a safetensors file gives the packed rows, scales and zero points', () => {
  const { metadata, tensors } = readSafetensors(file);
  assert.deepEqual(metadata, { format: 'test' });
  assert.equal(
    tensors.size,
    vectors.reduce((sum, { packed }) => sum + (packed.zero_points ? 3 : 2), 0),
  );
  vectors.forEach(({ packed, bytes }, index) => {
    const parts = ['weight', 'scale', 'zero_point'].flatMap((part) => tensors.get(`${index}.${part}`) ?? []);
    assert.deepEqual(
      parts.flatMap((part) => [...part.bytes]),
      bytes,
    );
    const [rows, ...rest] = packed.shape;
    const width = rowBytes(
      rest.reduce((a, b) => a * b, 1),
      packed.bits,
    );
    assert.deepEqual(parts[0].shape, [rows, width]);
    assert.deepEqual(
      parts.map(({ dtype }) => dtype),
      packed.zero_points ? ['U8', 'F32', 'U8'] : ['U8', 'F32'],
    );
  });
});

test('a safetensors file that is damaged is rejected, and says where', () => {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const entry = { dtype: 'U8', shape: [2, 3], data_offsets: [0, 6] };
  /** @param {unknown} header @param {number} [data] */
  const made = (header, data = 6) => {
    const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
    const start = new Uint8Array(BigUint64Array.of(BigInt(text.length)).buffer);
    return Uint8Array.of(...start, ...text, ...new Uint8Array(data));
  };
  assert.deepEqual(readSafetensors(made({ a: entry })).tensors.get('a')?.shape, [2, 3]);
  /** @type {[RegExp, Uint8Array][]} */
  const damaged = [
    [/ends after 7 bytes/, file.slice(0, 7)],
    [/header is to have/, file.slice(0, length)],
    [/header is to have/, Uint8Array.from({ length: 16 }, () => 255)],
    [/lies at/, file.slice(0, -1)],
    [/7 follow the header/, made({ a: entry }, 7)],
    [/not JSON/, made('{"a":')],
    [/no list/, made('[1]')],
    [/metadata/, made({ __metadata__: { a: 1 }, a: entry })],
    [/a is of the type U4/, made({ a: { ...entry, dtype: 'U4' } })],
    [/a is of the type toString/, made({ a: { ...entry, dtype: 'toString' } })],
    [/a is of the type undefined/, made({ a: null })],
    [/a has the shape \[-2,-3\]/, made({ a: { ...entry, shape: [-2, -3] } })],
    [/a has 6 bytes; F32 \[2,3\] takes 24/, made({ a: { ...entry, dtype: 'F32' } })],
    [/a lies at \[4,0\]/, made({ a: { ...entry, data_offsets: [4, 0] } })],
    [/a lies at \[0\]/, made({ a: { ...entry, data_offsets: [0] } })],
  ];
  for (const [message, bytes] of damaged) assert.throws(() => readSafetensors(bytes), { code: 'bad_model', message });
});

test('what cannot be a packed weight is rejected', () => {
  const { packed, bytes } = vectors[0];
  const data = Uint8Array.from(bytes);
  assert.throws(() => decodePacked('w', packed, data.subarray(1)), { code: 'bad_model', message: /w has/ });
  for (const broken of [{ bits: 2 }, { bits: 9 }, { shape: [0, 7] }, { shape: 5 }, { axes: [0, 0] }, { axes: [0] }])
    assert.throws(() => packedBytes('w', /** @type {any} */ ({ ...packed, ...broken })), { code: 'bad_model' });
});
