/**
 * Bundle run_tfjs.mjs into a folder, as one script that needs Node alone, beside the binary that it loads.
 *
 *   node tools/bundle_runner.mjs --out DIR
 */

import { copyFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const SITE = fileURLToPath(new URL('../', import.meta.url));
const SCRIPT = 'run_tfjs.mjs';
const BINARY = 'tfjs-backend-wasm-simd.wasm';
/** What TensorFlow.js' builds for Node take for granted, and a module has not. */
const COMMONJS = [
  "import { createRequire } from 'node:module';",
  'const require = createRequire(import.meta.url);',
  'const __filename = import.meta.filename ?? require("node:url").fileURLToPath(import.meta.url);',
  'const __dirname = require("node:path").dirname(__filename);',
];

async function main() {
  const { out } = parseArgs({ options: { out: { type: 'string' } } }).values;
  if (!out) throw new Error('usage: node tools/bundle_runner.mjs --out DIR');
  await build({
    absWorkingDir: SITE,
    entryPoints: [`tools/${SCRIPT}`],
    outfile: join(resolve(out), SCRIPT),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    minify: true,
    legalComments: 'none',
    banner: { js: COMMONJS.join('') },
    logLevel: 'error',
  });
  copyFileSync(join(SITE, 'node_modules/@tensorflow/tfjs-backend-wasm/dist', BINARY), join(resolve(out), BINARY));
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
