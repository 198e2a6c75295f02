/**
 * Run one file of our engine in several ways, in one process.
 *
 *   node tests/engine/run_modes.mjs REQUEST.json
 *
 * The request is {model, wasm, inputs, size, output, modes: {build, threads}[]}: `inputs` holds float32 images, NHWC,
 * of `size` values each, and a build of null is this device's; the outputs of one mode after the other go to `output`. Every session runs the images twice,
 * and must not answer otherwise the second time.
 */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { engine } from '../../site/js/engines/vit/vit.js';
import { actAsBrowser, THREAD_SCRIPT } from '../../site/tools/node_browser.mjs';

/** @typedef {{build: string | null, threads: number}} Mode */

actAsBrowser();
const request = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const inputs = new Float32Array(new Uint8Array(readFileSync(request.inputs)).buffer);
const file = new Uint8Array(readFileSync(request.model));
const wasmPath = `${pathToFileURL(resolve(request.wasm)).href}/`;

/** @param {import('../../site/js/engines/index.js').Session} session */
async function runAll(session) {
  const rows = [];
  for (let at = 0; at < inputs.length; at += request.size)
    rows.push(await session.run(inputs.subarray(at, at + request.size)));
  return rows;
}

const found = [];
for (const { build, threads } of /** @type {Mode[]} */ (request.modes)) {
  const options = { backend: 'wasm', wasmPath, threadScript: THREAD_SCRIPT, build: build ?? undefined, threads };
  const session = await engine.load({ files: new Map([['model.vit', file]]) }, options);
  assert.equal(session.threads, threads, session.threads_reason);
  const rows = await runAll(session);
  assert.deepEqual(await runAll(session), rows, `${build} with ${threads} threads answers otherwise the second time`);
  await session.dispose();
  found.push(...rows);
}
writeFileSync(request.output, Buffer.concat(found.map((row) => Buffer.from(row.buffer))));
