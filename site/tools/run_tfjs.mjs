/**
 * Run a TensorFlow.js graph model in Node, with the page's own engine.
 *
 *   node tools/run_tfjs.mjs --model DIR --inputs FILE.f32 --shape n,H,W,3 --output FILE.f32
 *     [--build cpu|gpu] [--backend wasm|cpu]
 *
 * Inputs: float32, little-endian, NHWC, normalised. Output: float32 [n, K]. Prints one JSON line
 * {backend, n, outputs, median_ms}. Exit code 2: bad request, 1: the model cannot be run.
 */

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { asVitError, VitError } from '../js/common/errors.js';
import { engine } from '../js/engines/tfjs/tfjs.js';

const USAGE =
  'usage: run_tfjs.mjs --model DIR --inputs FILE.f32 --shape n,H,W,3 --output FILE.f32 [--build cpu|gpu] ' +
  '[--backend wasm|cpu]';

/**
 * @typedef {{model: string, build?: string, inputs: string, shape: number[], output: string, backend: string}} Request
 */

/** @returns {Request} */
function readRequest() {
  /** @param {string} message */
  const usageError = (message) => new VitError('bad_request', message, { hint: USAGE });
  const options = /** @type {const} */ ({
    model: { type: 'string' },
    build: { type: 'string' },
    inputs: { type: 'string' },
    shape: { type: 'string' },
    output: { type: 'string' },
    backend: { type: 'string', default: 'wasm' },
  });
  const { model, build, inputs, shape, output, backend } = parseOptions(options, usageError);
  if (!model || !inputs || !shape || !output) throw usageError('--model, --inputs, --shape and --output are needed');
  const sizes = shape.split(',').map(Number);
  if (sizes.length !== 4 || !sizes.every((size) => Number.isInteger(size) && size > 0))
    throw usageError(`--shape ${shape}: four sizes n,H,W,3 are needed`);
  if (!existsSync(inputs)) throw usageError(`--inputs ${inputs}: no such file`);
  if (!existsSync(join(model, 'model.json'))) throw usageError(`--model ${model}: no folder with a model.json`);
  const needed = 4 * sizes.reduce((product, size) => product * size, 1);
  const found = statSync(inputs).size;
  if (found !== needed) throw usageError(`${inputs} has ${found} bytes; the shape ${shape} needs ${needed}`);
  return { model, build, inputs, shape: sizes, output, backend };
}

/**
 * @template {import('node:util').ParseArgsConfig['options']} T
 * @param {T} options
 * @param {(message: string) => VitError} usageError
 */
function parseOptions(options, usageError) {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    throw usageError(asVitError(error).message);
  }
}

/** @param {string} folder @returns {Map<string, Uint8Array<ArrayBuffer>>} */
function readFolder(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = entries.map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  return new Map(paths.map((path) => [relative(folder, path), new Uint8Array(readFileSync(path))]));
}

/** @param {Request} request */
async function main({ model, build, inputs, shape, output, backend }) {
  const size = shape[1] * shape[2] * shape[3];
  const values = new Float32Array(new Uint8Array(readFileSync(inputs)).buffer);
  const session = await engine.load({ files: readFolder(model) }, { backend, build });
  const rows = [];
  const samples = [];
  for (let row = 0; row < shape[0]; row++) {
    const startedAt = performance.now();
    rows.push(await session.run(values.subarray(row * size, (row + 1) * size)));
    samples.push(performance.now() - startedAt);
  }
  writeFileSync(output, Buffer.concat(rows.map((row) => Buffer.from(row.buffer))));
  const median_ms = samples.sort((a, b) => a - b)[Math.floor(samples.length / 2)];
  console.log(JSON.stringify({ backend: session.backend, n: shape[0], outputs: rows[0].length, median_ms }));
}

try {
  await main(readRequest());
} catch (thrown) {
  const error = asVitError(thrown);
  console.error(`${error.message}${error.hint ? `\n  → ${error.hint}` : ''}`);
  process.exitCode = error.code === 'bad_request' ? 2 : 1;
}
