/**
 * Load many spoilt files of our engine, and run those that are still files of it.
 *
 *   node tests/engine/fuzz.mjs MODEL.vit BUILD.wasm COUNT [SEED]
 *
 * The build has guards (guards.c) and traps on undefined behaviour. Prints one JSON line {tried, refused, loaded, faults:
 * {file, what}[], hung}: `file` is the number that makes the same file again, `hung` that of one that took over a minute.
 */

import { readFileSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { VitError } from '../../site/js/common/errors.js';
import { readPlan } from '../../site/js/engines/vit/plan.js';
import { instantiateModel } from '../../site/js/engines/vit/wasm.js';
import { mutated } from './mutations.mjs';

const LIMIT_MS = 60_000;
const SHOWN = 20;
/** What a refusal may be called. */
const REFUSALS = ['bad_model', 'out_of_memory'];

/** @typedef {{model: string, wasm: string, count: number, seed: number, at: SharedArrayBuffer}} Task */

/** @param {Task} task */
async function work({ model, wasm, count, seed, at }) {
  const file = new Uint8Array(readFileSync(model));
  const module = await WebAssembly.compile(readFileSync(wasm));
  const position = new Int32Array(at);
  await checkGuards(file, module);
  /** @type {{tried: number, refused: number, loaded: number, faults: {file: number, what: string}[]}} */
  const found = { tried: 0, refused: 0, loaded: 0, faults: [] };
  for (let index = 0; index < count; index++) {
    Atomics.store(position, 0, index);
    const outcome = await attempt(mutated(file, seed + index), module);
    found.tried++;
    if (outcome === 'refused' || outcome === 'loaded') found[outcome]++;
    else if (found.faults.length < SHOWN) found.faults.push({ file: seed + index, what: outcome });
  }
  return found;
}

/** @param {Uint8Array<ArrayBuffer>} file @param {WebAssembly.Module} module */
async function attempt(file, module) {
  try {
    const plan = readPlan(file);
    const { exports } = await instantiateModel(module, plan, 1, 1);
    const before = brokenGuards(exports);
    if (!exports.run(1)) return 'was loaded and does not run';
    const after = brokenGuards(exports);
    return before + after > 0 ? `wrote ${before} guards while loading, ${after} in all` : 'loaded';
  } catch (error) {
    if (error instanceof VitError && REFUSALS.includes(error.code) && error.message) return 'refused';
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}

/** Fail unless guards are laid, and whole after the whole file. @param {Uint8Array<ArrayBuffer>} file @param {WebAssembly.Module} module */
async function checkGuards(file, module) {
  if ((await attempt(file, module)) !== 'loaded') throw new Error('the whole file is not loaded');
  const { exports, memory } = await instantiateModel(module, readPlan(file), 1, 1);
  new Uint8Array(memory.buffer, exports.input(0)).fill(1);
  if (brokenGuards(exports) === 0) throw new Error('the build has no guards');
}

/** @param {object} exports @returns {number} */
const brokenGuards = (exports) => /** @type {{broken_guards: () => number}} */ (exports).broken_guards();

/** Let a worker work, and watch that it gets on. @param {Task} task */
function watch(task) {
  const worker = new Worker(new URL(import.meta.url), { workerData: task });
  const position = new Int32Array(task.at);
  let last = -1;
  const watching = setInterval(() => {
    if (position[0] === last) {
      console.log(JSON.stringify({ tried: last, refused: 0, loaded: 0, faults: [], hung: task.seed + last }));
      process.exit(0);
    }
    last = position[0];
  }, LIMIT_MS);
  worker.on('message', (found) => {
    clearInterval(watching);
    console.log(JSON.stringify({ ...found, hung: null }));
  });
  worker.on('error', (error) => {
    clearInterval(watching);
    console.error(error);
    process.exitCode = 1;
  });
}

if (isMainThread) {
  const [model, wasm, count, seed = '0'] = process.argv.slice(2);
  watch({ model, wasm, count: Number(count), seed: Number(seed), at: new SharedArrayBuffer(4) });
} else {
  parentPort?.postMessage(await work(workerData));
}
