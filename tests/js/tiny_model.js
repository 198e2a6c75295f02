/** A tiny TensorFlow.js graph model made in memory: [1,2,2,3] (or channels first) → reshape → matmul → [1,4]. */

/** The matrix [12, 4], stored as uint8 q = index % 256 with value = q · 0.5 − 3. */
export const WEIGHTS = Float32Array.from({ length: 48 }, (_, index) => index * 0.5 - 3);

const FLOAT = { type: 'DT_FLOAT' };
/** @param {number[]} shape */
const dim = (shape) => ({ dim: shape.map((size) => ({ size: String(size) })) });
/** @param {string} name @param {string} dtype @param {number[]} shape */
const constant = (name, dtype, shape) => ({
  name,
  op: 'Const',
  attr: { dtype: { type: dtype }, value: { tensor: { dtype, tensorShape: dim(shape) } } },
});

/** @param {number[]} shape of the input */
function topology(shape) {
  const node = [
    { name: 'x', op: 'Placeholder', attr: { dtype: FLOAT, shape: { shape: dim(shape) } } },
    constant('w', 'DT_FLOAT', [12, 4]),
    constant('flat', 'DT_INT32', [2]),
    { name: 'r', op: 'Reshape', input: ['x', 'flat'], attr: { T: FLOAT, Tshape: { type: 'DT_INT32' } } },
    {
      name: 'm',
      op: 'MatMul',
      input: ['r', 'w'],
      attr: { T: FLOAT, transpose_a: { b: false }, transpose_b: { b: false } },
    },
    { name: 'y', op: 'Identity', input: ['m'], attr: { T: FLOAT } },
  ];
  return { node, library: {}, versions: { producer: 1 } };
}

/** Two parts, the second longer than the first. */
const MANIFEST = [
  {
    paths: ['part1.bin', 'part2.bin'],
    weights: [
      {
        name: 'w',
        shape: [12, 4],
        dtype: 'float32',
        quantization: { dtype: 'uint8', scale: 0.5, min: -3, original_dtype: 'float32' },
      },
      { name: 'flat', shape: [2], dtype: 'int32' },
    ],
  },
];

/** @param {string} name @param {number[]} shape */
const tensor = (name, shape) => ({ name, dtype: 'DT_FLOAT', tensorShape: dim(shape) });

/**
 * @param {{shape?: number[]}} [options]
 * @returns {Map<string, Uint8Array<ArrayBuffer>>}
 */
export function tinyModel({ shape = [1, 2, 2, 3] } = {}) {
  const signature = { inputs: { x: tensor('x:0', shape) }, outputs: { y: tensor('y:0', [1, 4]) } };
  const model = { format: 'graph-model', signature, modelTopology: topology(shape), weightsManifest: MANIFEST };
  const stored = new Uint8Array(56);
  stored.set(Uint8Array.from({ length: 48 }, (_, index) => index));
  stored.set(new Uint8Array(Int32Array.of(1, 12).buffer), 48);
  return new Map([
    ['model.json', new TextEncoder().encode(JSON.stringify(model))],
    ['part1.bin', stored.slice(0, 20)],
    ['part2.bin', stored.slice(20)],
  ]);
}

/**
 * The tiny model with a graph for GPUs: its matrix is the other's twice, side by side, to which it adds a row of its own.
 *
 * @returns {Map<string, Uint8Array<ArrayBuffer>>}
 */
export function twoGraphs() {
  const files = tinyModel();
  const [input, , flat, reshape, product, output] = topology([1, 2, 2, 3]).node;
  const node = [
    input,
    constant('gpu/w', 'DT_FLOAT', [12, 8]),
    constant('gpu/row', 'DT_FLOAT', [8]),
    flat,
    reshape,
    { ...product, input: ['r', 'gpu/w'] },
    { name: 'a', op: 'AddV2', input: ['m', 'gpu/row'], attr: { T: FLOAT } },
    { ...output, input: ['a'] },
  ];
  const model = {
    format: 'graph-model',
    signature: { inputs: { x: tensor('x:0', [1, 2, 2, 3]) }, outputs: { y: tensor('y:0', [1, 8]) } },
    modelTopology: { node, library: {}, versions: { producer: 1 } },
    weightsManifest: [{ paths: ['gpu.bin'], weights: [{ name: 'gpu/row', shape: [8], dtype: 'float32' }] }],
    shared: [
      { name: 'gpu/w', of: ['w', 'w'] },
      { name: 'flat', of: ['flat'] },
    ],
  };
  files.set('model_gpu.json', new TextEncoder().encode(JSON.stringify(model)));
  return files.set('gpu.bin', new Uint8Array(Float32Array.from({ length: 8 }, (_, index) => index).buffer));
}
