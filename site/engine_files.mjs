/** The files of each engine beside the scripts that esbuild bundles with the page: what they are and where they are. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';

const TFJS = 'node_modules/@tensorflow/tfjs-backend-wasm/dist';
const LITERT = 'node_modules/@litertjs/core/wasm';
const ORT = 'node_modules/onnxruntime-web/dist';

/** The builds of LiteRT, each a script and a binary. */
const LITERT_BUILDS = ['', '_compat', '_threaded', '_jspi'].map((kind) => `${LITERT}/litert_wasm${kind}_internal`);
/** Those of ONNX Runtime: for processors, and with WebGPU. */
const ORT_BUILDS = ['', '.asyncify'].map((kind) => `${ORT}/ort-wasm-simd-threaded${kind}`);

/**
 * What an engine needs: files that it fetches or starts as they are, and the scripts of its workers, to be bundled.
 * Paths are relative to `site/` or absolute.
 * @typedef {{files: string[], workers: Record<string, 'esm' | 'iife'>}} EngineFiles
 */

/**
 * Return what every engine needs.
 * @param {string} vit folder of our own engine's builds
 * @returns {Record<string, EngineFiles>}
 */
export const engineFiles = (vit) => ({
  vit: {
    files: readdirSync(vit)
      .filter((name) => name.endsWith('.wasm'))
      .map((name) => join(vit, name)),
    workers: { 'js/engines/vit/vit_thread.js': 'esm' },
  },
  tfjs: {
    files: [`${TFJS}/tfjs-backend-wasm-simd.wasm`, `${TFJS}/tfjs-backend-wasm-threaded-simd.wasm`],
    workers: {},
  },
  litert: {
    files: LITERT_BUILDS.flatMap((build) => [`${build}.js`, `${build}.wasm`]),
    workers: { 'js/engines/litert/litert_worker.js': 'iife' },
  },
  ort: {
    files: ORT_BUILDS.flatMap((build) => [`${build}.mjs`, `${build}.wasm`]),
    workers: { 'js/engines/ort/ort_worker.js': 'esm' },
  },
});

/**
 * Copy a file under a hashed name and return that; a module is called .js, an ending that every host knows.
 * @param {string} path
 * @param {string} out
 * @returns {string}
 */
export function copyHashed(path, out) {
  const bytes = readFileSync(path);
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 8);
  const ending = extname(path);
  const hashed = `${basename(path, ending)}.${hash}${ending === '.mjs' ? '.js' : ending}`;
  writeFileSync(join(out, hashed), bytes);
  return hashed;
}

/**
 * Return what of esbuild's outputs only one engine loads, by engine: its module and the chunks behind that.
 * @param {import('esbuild').Metafile} metafile
 * @param {string[]} entries sources that every page starts
 * @param {string[]} engines
 * @returns {Record<string, string[]>}
 */
export function scriptsByEngine(metafile, entries, engines) {
  const modules = engines.map((engine) => /** @type {const} */ ([engine, `js/engines/${engine}/${engine}.js`]));
  const own = modules.map(([, source]) => source);
  /** @param {string[]} sources @param {string[]} except */
  const reached = (sources, except) => {
    /** @type {Set<string>} */
    const found = new Set();
    /** @param {string} path */
    const visit = (path) => {
      const output = metafile.outputs[path];
      if (!output || found.has(path) || except.includes(output.entryPoint ?? '')) return;
      found.add(path);
      for (const { path: imported } of output.imports) visit(imported);
    };
    for (const [path, { entryPoint }] of Object.entries(metafile.outputs)) {
      if (sources.includes(entryPoint ?? '')) visit(path);
    }
    return found;
  };
  const common = reached(entries, own);
  const behind = modules.map(([engine, source]) => /** @type {const} */ ([engine, reached([source], [])]));
  return Object.fromEntries(
    behind.map(([engine, paths]) => [
      engine,
      [...paths].filter(
        (path) => !common.has(path) && behind.every(([other, theirs]) => other === engine || !theirs.has(path)),
      ),
    ]),
  );
}
