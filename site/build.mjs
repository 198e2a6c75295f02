/**
 * Bundle the page's scripts and styles into a folder of files named by their content.
 *
 *   node build.mjs --out DIR --vit DIR
 *
 * `--vit` is the folder with the builds of our own engine. `--out` gets `<entry>.<hash>.{js,css}`, the chunks they load on demand, the engines' .wasm files, the licences of what is
 * bundled, and bundle.json: {"main", "worker", "client", "css", "files": [...]}; beside them lies sw.js, the service worker.
 * Same sources, same bytes.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const SITE = dirname(fileURLToPath(import.meta.url));
/** Name in bundle.json → source. */
const ENTRIES = { main: 'js/main.js', worker: 'js/worker.js', client: 'js/client.js', css: 'css/main.css' };
/** The script of a thread of our own engine; other scripts start it by its hashed name. */
const THREAD = 'js/engines/vit_thread.js';
/** One script without chunks, under one name for ever, as browsers want it; the renderer puts the list of files before it. */
const SERVICE_WORKER = { source: 'sw/sw.js', name: 'sw.js' };
const TFJS_WASM = 'node_modules/@tensorflow/tfjs-backend-wasm/dist';

/**
 * The binaries that the engines may ask for.
 * @param {string} vit folder of our own engine's builds
 */
const binaries = (vit) => [
  join(SITE, TFJS_WASM, 'tfjs-backend-wasm-simd.wasm'),
  join(SITE, TFJS_WASM, 'tfjs-backend-wasm-threaded-simd.wasm'),
  ...readdirSync(vit)
    .filter((name) => name.endsWith('.wasm'))
    .map((name) => join(vit, name)),
];

/**
 * Copy the binaries under hashed names; return name → hashed name.
 * @param {string} out
 * @param {string} vit
 * @returns {Record<string, string>}
 */
function copyWasm(out, vit) {
  return Object.fromEntries(
    binaries(vit).map((path) => {
      const name = basename(path);
      const bytes = readFileSync(path);
      const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 8);
      const hashed = name.replace('.wasm', `.${hash}.wasm`);
      writeFileSync(join(out, hashed), bytes);
      return [name, hashed];
    }),
  );
}

/**
 * Bundle entries; return esbuild's account of what became what.
 * @param {string[]} entryPoints
 * @param {string} out
 * @param {Record<string, string>} files what the scripts start or fetch → its hashed name
 */
async function bundle(entryPoints, out, files) {
  const { metafile } = await build({
    absWorkingDir: SITE,
    entryPoints,
    outdir: out,
    entryNames: '[name].[hash]',
    chunkNames: '[name].[hash]',
    assetNames: '[name].[hash]',
    bundle: true,
    format: 'esm',
    splitting: true,
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    define: { WASM_FILES: JSON.stringify(files) },
    metafile: true,
    logLevel: 'error',
  });
  return metafile;
}

/** Bundle the service worker. @param {string} out */
async function bundleServiceWorker(out) {
  await build({
    absWorkingDir: SITE,
    entryPoints: [SERVICE_WORKER.source],
    outfile: join(out, SERVICE_WORKER.name),
    bundle: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    logLevel: 'error',
  });
}

/** Return the entries' files by name. @param {import('esbuild').Metafile} metafile @returns {Record<string, string>} */
function entryFiles(metafile) {
  const bySource = new Map(
    Object.entries(metafile.outputs).map(([path, { entryPoint }]) => [entryPoint, basename(path)]),
  );
  return Object.fromEntries(
    Object.entries(ENTRIES).map(([name, source]) => [name, /** @type {string} */ (bySource.get(source))]),
  );
}

/**
 * Write the licences of every bundled package into one file.
 * @param {import('esbuild').Metafile} metafile
 * @param {string} out
 */
function writeLicences(metafile, out) {
  const packages = new Set(
    Object.keys(metafile.inputs).flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
  );
  const texts = [...packages].sort().map((name) => {
    const { version, license } = JSON.parse(readFileSync(join(SITE, 'node_modules', name, 'package.json'), 'utf8'));
    const file = readdirSync(join(SITE, 'node_modules', name)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? readFileSync(join(SITE, 'node_modules', name, file), 'utf8') : '';
    return `${name} ${version} · ${license}\n\n${text}`.trim();
  });
  writeFileSync(join(out, 'LICENCES.txt'), `${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`);
}

async function main() {
  const { out, vit } = parseArgs({ options: { out: { type: 'string' }, vit: { type: 'string' } } }).values;
  if (!out || !vit) throw new Error('usage: node build.mjs --out DIR --vit DIR');
  const folder = resolve(out);
  mkdirSync(folder, { recursive: true });
  const wasm = copyWasm(folder, resolve(vit));
  const [thread] = Object.keys((await bundle([THREAD], folder, {})).outputs);
  const metafile = await bundle(Object.values(ENTRIES), folder, { ...wasm, [basename(THREAD)]: basename(thread) });
  writeLicences(metafile, folder);
  const files = readdirSync(folder)
    .filter((name) => name !== 'bundle.json')
    .sort();
  await bundleServiceWorker(folder);
  writeFileSync(join(folder, 'bundle.json'), `${JSON.stringify({ ...entryFiles(metafile), files }, null, 2)}\n`);
  console.log(`${files.length} files in ${relative(process.cwd(), folder) || '.'}`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
