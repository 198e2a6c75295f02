/**
 * Call kernels of the engine.
 *
 *   node tests/engine/run_kernels.mjs KERNELS.wasm CALLS.json RESULTS.json
 *
 * A call is {name, args}: numbers, or arrays as {f32: […]}, {i32: […]} or {u8: […]}, floats given by their bits. A
 * result is {value, arrays}: what was returned, and every array as it is after the call, floats by their bits.
 */

import { readFileSync, writeFileSync } from 'node:fs';

/** @typedef {{f32?: number[], i32?: number[], u8?: number[]}} Given */
/** @typedef {{name: string, args: (number | Given)[]}} Call */

const memory = new WebAssembly.Memory({ initial: 64, maximum: 64 });
const module = await WebAssembly.compile(readFileSync(process.argv[2]));
const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
const kernels = /** @type {Record<string, (...args: number[]) => number>} */ (/** @type {unknown} */ (exports));

/** @param {Given} given @param {number} at */
function place({ f32, i32, u8 }, at) {
  const values = f32 ?? i32 ?? u8 ?? [];
  const array = u8
    ? new Uint8Array(memory.buffer, at, values.length)
    : new Int32Array(memory.buffer, at, values.length);
  array.set(values);
  return array;
}

kernels.test_act_type();
const results = [];
for (const { name, args } of /** @type {Call[]} */ (JSON.parse(readFileSync(process.argv[3], 'utf8')))) {
  let end = kernels.test_arguments();
  /** @type {ReturnType<typeof place>[]} */
  const arrays = [];
  const values = args.map((given) => {
    if (typeof given === 'number') return given;
    const array = place(given, end);
    arrays.push(array);
    end += Math.ceil(array.byteLength / 64 + 1) * 64;
    return array.byteOffset;
  });
  const value = kernels[name](...values) ?? 0;
  results.push({ value, arrays: arrays.map((array) => [...array]) });
}
writeFileSync(process.argv[4], JSON.stringify(results));
