/**
 * Run a file of our own engine in Node.
 *
 *   node tools/run_vit.mjs --model FILE.vit --wasm DIR --inputs FILE.f32 --shape n,H,W,3 --output FILE.f32
 *     [--threads N] [--build NAME] [--rounds N]
 *
 * Inputs: float32, little-endian, NHWC, normalised. Output: float32 [n, K]. `--rounds` runs every input so often.
 * Prints one JSON line {threads, n, outputs, decode_ms, compile_ms, median_ms, p10_ms, p90_ms}. Exit code 2: bad
 * request, 1: the model cannot be run.
 */

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { asVitError, VitError } from '../js/common/errors.js';
import { engine } from '../js/engines/vit/vit.js';
import { actAsBrowser, THREAD_SCRIPT } from './node_browser.mjs';

const USAGE = 'usage: run_vit.mjs --model FILE.vit --wasm DIR --inputs FILE.f32 --shape n,H,W,3 --output FILE.f32';

/** @param {string} message */
const usageError = (message) => new VitError('bad_request', message, { hint: USAGE });

function readOptions() {
  const options = /** @type {const} */ ({
    model: { type: 'string' },
    wasm: { type: 'string' },
    inputs: { type: 'string' },
    shape: { type: 'string' },
    output: { type: 'string' },
    threads: { type: 'string', default: '1' },
    build: { type: 'string' },
    rounds: { type: 'string', default: '1' },
  });
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    throw usageError(asVitError(error).message);
  }
}

function readRequest() {
  const { model, wasm, inputs, shape, output, threads, build, rounds } = readOptions();
  if (!model || !wasm || !inputs || !shape || !output)
    throw usageError('--model, --wasm, --inputs, --shape and --output are needed');
  for (const path of [model, wasm, inputs]) if (!existsSync(path)) throw usageError(`${path}: no such file`);
  const sizes = shape.split(',').map(Number);
  if (sizes.length !== 4 || !sizes.every((size) => Number.isInteger(size) && size > 0))
    throw usageError(`--shape ${shape}: four sizes n,H,W,3 are needed`);
  const needed = 4 * sizes.reduce((product, size) => product * size, 1);
  if (statSync(inputs).size !== needed) throw usageError(`${inputs} has not the ${needed} bytes that ${shape} needs`);
  for (const count of [threads, rounds])
    if (!/^[1-9]\d*$/.test(count)) throw usageError(`${count} is no number of threads or rounds`);
  const choices = { threads: Number(threads), build };
  return { model, wasm, inputs, sizes, output, choices, rounds: Number(rounds) };
}

/** @param {number[]} sorted @param {number} share */
const at = (sorted, share) => sorted[Math.floor((sorted.length - 1) * share)];

/** @param {ReturnType<typeof readRequest>} request */
async function main({ model, wasm, inputs, sizes, output, choices, rounds }) {
  const [count, ...image] = sizes;
  const size = image.reduce((product, side) => product * side, 1);
  const values = new Float32Array(new Uint8Array(readFileSync(inputs)).buffer);
  const options = {
    ...choices,
    backend: 'wasm',
    wasmPath: `${pathToFileURL(resolve(wasm)).href}/`,
    threadScript: THREAD_SCRIPT,
  };
  const session = await engine.load({ files: new Map([['model.vit', new Uint8Array(readFileSync(model))]]) }, options);
  /** @type {Float32Array[]} */
  const rows = [];
  const samples = [];
  for (let round = 0; round < rounds; round++) {
    for (let row = 0; row < count; row++) {
      const startedAt = performance.now();
      const logits = await session.run(values.subarray(row * size, (row + 1) * size));
      samples.push(performance.now() - startedAt);
      if (round === 0) rows.push(logits);
      else if (!logits.every((value, index) => value === rows[row][index]))
        throw new VitError('wrong_result', `Round ${round + 1} gives other outputs than the first.`);
    }
  }
  await session.dispose();
  writeFileSync(output, Buffer.concat(rows.map((row) => Buffer.from(row.buffer))));
  const warm = samples.slice(Math.floor(samples.length / 3)).sort((a, b) => a - b);
  const { threads, threads_reason, decode_ms, compile_ms } = session;
  const times = { decode_ms, compile_ms, median_ms: at(warm, 0.5), p10_ms: at(warm, 0.1), p90_ms: at(warm, 0.9) };
  console.log(JSON.stringify({ threads, threads_reason, n: count, outputs: rows[0].length, ...times }));
}

try {
  actAsBrowser();
  await main(readRequest());
} catch (thrown) {
  const error = asVitError(thrown);
  console.error(`${error.message}${error.hint ? `\n  → ${error.hint}` : ''}`);
  process.exitCode = error.code === 'bad_request' ? 2 : 1;
}
