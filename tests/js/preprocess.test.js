import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { normalise, preprocess, resizeAndCrop } from '../../site/js/worker/image/preprocess.js';

const VECTORS = new URL('../vectors/', import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL('preprocess.json', VECTORS), 'utf8'));
const data = new Uint8Array(readFileSync(new URL('preprocess.bin', VECTORS)));

/** @param {Uint8Array | Uint8ClampedArray} found @param {Uint8Array} truth @returns {number} */
function maxDifference(found, truth) {
  assert.equal(found.length, truth.length);
  return truth.reduce((most, value, index) => Math.max(most, Math.abs(value - found[index])), 0);
}

/** @param {Uint8Array} rgb @returns {Uint8ClampedArray} */
function withAlpha(rgb) {
  return Uint8ClampedArray.from({ length: (rgb.length / 3) * 4 }, (_, i) =>
    i % 4 === 3 ? 255 : rgb[Math.floor(i / 4) * 3 + (i % 4)],
  );
}

for (const { width, height, preprocess: wanted, image, expected, normalised_sha256 } of cases) {
  const { size, crop_pct, crop_mode, interpolation } = wanted;
  test(`${width}×${height} → ${size}, ${crop_mode} ${crop_pct}, ${interpolation}: equals Pillow bit for bit`, () => {
    const pixels = data.subarray(image, image + width * height * 3);
    const truth = data.subarray(expected, expected + size * size * 3);
    assert.equal(maxDifference(resizeAndCrop(pixels, width, height, wanted), truth), 0);
    assert.equal(maxDifference(resizeAndCrop(withAlpha(pixels), width, height, wanted), truth), 0);
    const values = preprocess(pixels, width, height, wanted);
    assert.equal(createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex'), normalised_sha256);
  });
}

test('normalisation centres and scales each channel by its own figures', () => {
  const values = normalise(Uint8Array.of(0, 255, 51), { mean: [0.5, 0.5, 0.2], std: [0.5, 0.25, 1] });
  assert.deepEqual([...values], [-1, 2, 0]);
});

test('an extremely wide image costs no more than its crop', () => {
  const wanted = {
    size: 32,
    crop_pct: 0.875,
    crop_mode: /** @type {const} */ ('center'),
    interpolation: /** @type {const} */ ('bicubic'),
    mean: [0, 0, 0],
    std: [1, 1, 1],
  };
  assert.equal(
    resizeAndCrop(new Uint8Array(3_000_000 * 3).fill(9), 3_000_000, 1, wanted).every((byte) => byte === 9),
    true,
  );
});

test('what cannot be resized is rejected with a reason', () => {
  const wanted = {
    size: 32,
    crop_pct: 1,
    crop_mode: /** @type {const} */ ('border'),
    interpolation: /** @type {const} */ ('bicubic'),
    mean: [0, 0, 0],
    std: [1, 1, 1],
  };
  assert.throws(() => resizeAndCrop(new Uint8Array(900), 300, 1, wanted), { code: 'image_too_thin' });
  assert.throws(() => resizeAndCrop(new Uint8Array(7), 2, 2, wanted), { code: 'bad_request' });
  assert.throws(() => resizeAndCrop(new Uint8Array(12), 2, 2, { ...wanted, crop_mode: /** @type {any} */ ('zoom') }), {
    code: 'bad_model',
  });
});
