/** The library for other people's pages: what is laid over the site, and what its npm package adds to that. */

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

/** Where the entries lie, under names that stay, and what they start, named by content, beside the page's own. */
const [ENTRIES, ASSETS] = ['lib', 'assets'];
const WORKER = 'js/worker/library_worker.js';
const SCRIPTS = ['js/library/vit-pages.js', 'js/library/vit-classifier.js'];
const TYPES = SCRIPTS.map((script) => script.replace(/\.js$/, '.d.ts'));
/** The engine whose files the library fetches. */
export const ENGINE = 'vit';

/**
 * Write the library below `out`, as it lies in a site, and return the paths of its files there.
 * @param {string} site folder of the sources
 * @param {string} out
 * @param {Record<string, string>} names of what its engine fetches or starts → hashed name
 * @returns {Promise<string[]>}
 */
export async function buildLibrary(site, out, names) {
  const common = /** @type {const} */ ({
    absWorkingDir: site,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    metafile: true,
    logLevel: 'error',
  });
  const { metafile } = await build({
    ...common,
    entryPoints: [WORKER],
    entryNames: '[name].[hash]',
    outdir: join(out, ASSETS),
    define: { WASM_FILES: JSON.stringify(names) },
  });
  const [worker] = Object.keys(metafile.outputs).map((path) => basename(path));
  for (const script of SCRIPTS) {
    await build({
      ...common,
      entryPoints: [script],
      outfile: join(out, ENTRIES, basename(script)),
      define: { LIBRARY_WORKER: JSON.stringify(worker), LIBRARY_VERSION: JSON.stringify(aboutSite(site).version) },
    });
  }
  for (const types of TYPES) cpSync(join(site, types), join(out, ENTRIES, basename(types)));
  return [`${ASSETS}/${worker}`, ...[...SCRIPTS, ...TYPES].map((path) => `${ENTRIES}/${basename(path)}`)].sort();
}

/** What the site's own package says of itself. @param {string} site */
function aboutSite(site) {
  return JSON.parse(readFileSync(join(site, 'package.json'), 'utf8'));
}

/**
 * Write the npm package: the library as it lies in a site, its engine's files beside it, and what npm asks for.
 * @param {string} site folder of the sources
 * @param {string} bundle folder that build.mjs wrote
 * @param {string} out
 * @returns {string[]} paths of its files
 */
export function writePackage(site, bundle, out) {
  const { library, engines, files } = JSON.parse(readFileSync(join(bundle, 'bundle.json'), 'utf8'));
  /** @type {(name: string) => boolean} */
  const fetched = (name) => /\.wasm$|_thread\.\w+\.js$/.test(name);
  /** @type {string[]} */
  const own = engines[ENGINE];
  const needed = own.filter((name) => fetched(name) && files.includes(name));
  for (const folder of [ENTRIES, ASSETS]) mkdirSync(join(out, folder), { recursive: true });
  for (const path of library) cpSync(join(bundle, 'library', path), join(out, path));
  for (const name of needed) cpSync(join(bundle, name), join(out, ASSETS, name));
  cpSync(join(site, '../LICENSE'), join(out, 'LICENSE'));
  cpSync(join(site, 'js/library/README.md'), join(out, 'README.md'));
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(describePackage(site), null, 2)}\n`);
  return ['package.json', 'LICENSE', 'README.md', ...library, ...needed.map((name) => `${ASSETS}/${name}`)].sort();
}

/** The package.json of the npm package. @param {string} site */
function describePackage(site) {
  const { version, license } = aboutSite(site);
  /** @param {string} name */
  const entry = (name) => ({ types: `./${ENTRIES}/${name}.d.ts`, default: `./${ENTRIES}/${name}.js` });
  return {
    name: 'vit-pages',
    version,
    description: 'Run a quantized Vision Transformer that was published with ViT Pages, in any web page',
    license,
    type: 'module',
    keywords: ['vision-transformer', 'image-classification', 'webassembly', 'quantization', 'web-component'],
    main: `./${ENTRIES}/vit-pages.js`,
    types: `./${ENTRIES}/vit-pages.d.ts`,
    exports: {
      '.': entry('vit-pages'),
      './vit-classifier': entry('vit-classifier'),
      [`./${ASSETS}/*`]: `./${ASSETS}/*`,
      './package.json': './package.json',
    },
    files: [ENTRIES, ASSETS],
    sideEffects: [`./${ENTRIES}/vit-classifier.js`],
  };
}
