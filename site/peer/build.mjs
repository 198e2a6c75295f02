/**
 * Bundle a peer's page into a folder that can be served as it is; the benchmark alone asks for it.
 *
 *   node peer/build.mjs --out DIR
 *
 * DIR gets index.html, transformers.js, and under ort/ the two builds of ONNX Runtime that the library loads itself:
 * those that its own package asks for, whatever other version the site may use.
 */

import { copyFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const HERE = dirname(fileURLToPath(import.meta.url));
const RUNTIME = ['ort-wasm-simd-threaded', 'ort-wasm-simd-threaded.asyncify'];

/** Copy ONNX Runtime's files next to the page. @param {string} out */
function copyRuntime(out) {
  const library = createRequire(import.meta.url).resolve('@huggingface/transformers');
  const { resolve } = createRequire(library);
  mkdirSync(join(out, 'ort'));
  for (const file of RUNTIME.flatMap((name) => [`${name}.mjs`, `${name}.wasm`])) {
    copyFileSync(resolve(`onnxruntime-web/${file}`), join(out, 'ort', file));
  }
}

async function main() {
  const { out } = parseArgs({ options: { out: { type: 'string' } } }).values;
  if (!out) throw new Error('usage: node peer/build.mjs --out DIR');
  const folder = resolve(out);
  mkdirSync(folder, { recursive: true });
  await build({
    absWorkingDir: HERE,
    entryPoints: ['transformers.js'],
    outdir: folder,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    // Without it the runtime's glue is in the bundle too, and downloaded twice.
    conditions: ['onnxruntime-web-use-extern-wasm'],
    logLevel: 'error',
  });
  copyFileSync(join(HERE, 'transformers.html'), join(folder, 'index.html'));
  copyRuntime(folder);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
