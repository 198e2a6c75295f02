/**
 * Bundle the page's scripts and styles into a folder of files named by their content.
 *
 *   node build.mjs --out DIR --vit DIR
 *
 * `--vit` is the folder with the builds of our own engine. `--out` gets `<entry>.<hash>.{js,css}`, the chunks they load on
 * demand, the engines' files, the licences of what is bundled, and bundle.json: {"main", "worker", "client", "css",
 * "files": [...], "engines": {<engine>: [...]}, "library": [...]}, `engines` naming each engine's own files, some of
 * which two may have in common. Beside them lie sw.js, the service worker, and `library/`, the files that are laid over
 * the site for other people's pages. Same sources, same bytes.
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { copyHashed, engineFiles, scriptsByEngine } from './engine_files.mjs';
import { buildLibrary, ENGINE } from './library.mjs';

const SITE = dirname(fileURLToPath(import.meta.url));
/** Name in bundle.json → source. */
const ENTRIES = {
  main: 'js/page/main.js',
  worker: 'js/worker/worker.js',
  client: 'js/page/client.js',
  css: 'css/main.css',
};
/** One script without chunks, under one name for ever, as browsers want it; the renderer puts a list of files before it. */
const SERVICE_WORKER = { source: 'sw/sw.js', name: 'sw.js' };

/**
 * Bundle scripts; return esbuild's account of what became what.
 * @param {string[]} entryPoints
 * @param {string} out
 * @param {'esm' | 'iife'} format
 * @param {Record<string, string>} files what the scripts fetch or start → its hashed name
 */
async function bundle(entryPoints, out, format, files) {
  const { metafile } = await build({
    absWorkingDir: SITE,
    entryPoints,
    outdir: out,
    entryNames: '[name].[hash]',
    chunkNames: '[name].[hash]',
    assetNames: '[name].[hash]',
    bundle: true,
    format,
    splitting: format === 'esm',
    platform: 'browser',
    conditions: ['onnxruntime-web-use-extern-wasm'],
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

/**
 * @typedef {object} EngineOutput
 * @property {Record<string, string>} names what is fetched or started → its hashed name
 * @property {string[]} files all hashed names, the chunks of workers among them
 * @property {import('esbuild').Metafile[]} metafiles
 */

/**
 * Copy an engine's files under hashed names and bundle the scripts of its workers.
 * @param {import('./engine_files.mjs').EngineFiles} engine
 * @param {string} out
 * @returns {Promise<EngineOutput>}
 */
async function makeEngine({ files, workers }, out) {
  const names = Object.fromEntries(files.map((path) => [basename(path), copyHashed(resolve(SITE, path), out)]));
  const metafiles = [];
  const made = Object.values(names);
  for (const [source, format] of Object.entries(workers)) {
    const metafile = await bundle([source], out, format, names);
    for (const [path, { entryPoint }] of Object.entries(metafile.outputs)) {
      made.push(basename(path));
      if (entryPoint === source) names[basename(source)] = basename(path);
    }
    metafiles.push(metafile);
  }
  return { names, files: made, metafiles };
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
 * Write the licences of every package that something is from into one file.
 * @param {string[]} paths
 * @param {string} out
 */
function writeLicences(paths, out) {
  const packages = new Set(paths.flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []));
  const texts = [...packages].sort().map((name) => {
    const about = JSON.parse(readFileSync(join(SITE, 'node_modules', name, 'package.json'), 'utf8'));
    const { version, license, repository } = about;
    const file = readdirSync(join(SITE, 'node_modules', name)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file
      ? readFileSync(join(SITE, 'node_modules', name, file), 'utf8')
      : `The text lies with the source: ${repository?.url ?? repository}`;
    return `${name} ${version} · ${license}\n\n${text}`.trim();
  });
  writeFileSync(join(out, 'LICENCES.txt'), `${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`);
}

async function main() {
  const { out, vit } = parseArgs({ options: { out: { type: 'string' }, vit: { type: 'string' } } }).values;
  if (!out || !vit) throw new Error('usage: node build.mjs --out DIR --vit DIR');
  const folder = resolve(out);
  mkdirSync(folder, { recursive: true });
  /** @type {Record<string, EngineOutput>} */
  const made = {};
  const needed = engineFiles(resolve(vit));
  for (const [name, engine] of Object.entries(needed)) made[name] = await makeEngine(engine, folder);
  const names = Object.assign({}, ...Object.values(made).map(({ names }) => names));
  const metafile = await bundle(Object.values(ENTRIES), folder, 'esm', names);
  const metafiles = [metafile, ...Object.values(made).flatMap(({ metafiles }) => metafiles)];
  const sources = metafiles.flatMap(({ inputs }) => Object.keys(inputs));
  writeLicences([...sources, ...Object.values(needed).flatMap(({ files }) => files)], folder);
  const scripts = scriptsByEngine(metafile, Object.values(ENTRIES), Object.keys(needed));
  const engines = Object.fromEntries(
    Object.entries(made).map(([name, { files }]) => [name, [...files, ...scripts[name].map((path) => basename(path))]]),
  );
  const files = readdirSync(folder)
    .filter((name) => name !== 'bundle.json')
    .sort();
  await bundleServiceWorker(folder);
  const library = await buildLibrary(SITE, join(folder, 'library'), made[ENGINE].names);
  const listed = { ...entryFiles(metafile), files, engines, library };
  writeFileSync(join(folder, 'bundle.json'), `${JSON.stringify(listed, null, 2)}\n`);
  console.log(`${files.length} files in ${relative(process.cwd(), folder) || '.'}`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
