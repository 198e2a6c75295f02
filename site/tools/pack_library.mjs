/**
 * Write the npm package of the library into a folder, for `npm pack` and `npm publish`.
 *
 *   npm run lib --prefix site -- --bundle .cache/bundle/KEY --out dist/npm
 *
 * `--bundle` is what build.mjs wrote; `make lib` finds it. Paths are relative to the folder that npm was started in.
 */

import { existsSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writePackage } from '../library.mjs';

const SITE = join(dirname(fileURLToPath(import.meta.url)), '..');

function main() {
  const { bundle, out } = parseArgs({ options: { bundle: { type: 'string' }, out: { type: 'string' } } }).values;
  if (!bundle || !out) throw new Error('usage: npm run lib --prefix site -- --bundle DIR --out DIR');
  const here = process.env.INIT_CWD ?? process.cwd();
  const [from, to] = [resolve(here, bundle), resolve(here, out)];
  if (!existsSync(join(from, 'bundle.json'))) throw new Error(`${from} is no bundle: it has no bundle.json`);
  if (existsSync(to) && !existsSync(join(to, 'package.json')))
    throw new Error(`${to} is there already, and is no package: choose another folder`);
  rmSync(to, { recursive: true, force: true });
  const files = writePackage(SITE, from, to);
  console.log(`${files.length} files in ${to}; next: npm pack ${to}`);
}

try {
  main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
