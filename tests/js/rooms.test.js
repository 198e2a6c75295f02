import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SITE = fileURLToPath(new URL('../../site/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'rooms-'));
after(() => rmSync(folder, { recursive: true }));

/** Write a file into the folder. @param {string} path @param {string} text */
function plant(path, text) {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

/** Run one of the site's tools and return its output. @param {string[]} command @returns {Promise<string>} */
function output([tool, ...options]) {
  const path = join(SITE, 'node_modules', tool);
  return new Promise((resolve) => {
    execFile(process.execPath, [path, ...options], { cwd: folder }, (_, stdout) => resolve(stdout));
  });
}

/** Return the type errors of a script in a room. @param {string} room @param {string} script */
function typeErrors(room, script) {
  plant(`${room}.js`, script);
  const settings = { extends: join(SITE, 'js', room, 'tsconfig.json'), files: [`${room}.js`], include: [] };
  plant(`${room}.json`, JSON.stringify({ ...settings, compilerOptions: { types: [] } }));
  return output(['typescript/bin/tsc', '--project', `${room}.json`]);
}

test('the worker has no document, and the page no importScripts', async () => {
  const script = 'importScripts();\nconsole.log(document.title);\n';
  assert.match(await typeErrors('worker', script), /^worker\.js\(2,13\)[^\n]*'document'[^\n]*\n$/);
  assert.match(await typeErrors('page', script), /^page\.js\(1,1\)[^\n]*'importScripts'[^\n]*\n$/);
});

test('a room imports what the rule allows, and nothing else', async () => {
  cpSync(join(SITE, 'biome.jsonc'), join(folder, 'biome.jsonc'));
  for (const room of ['js/page/ui', 'js/library/any', 'js/worker/image', 'js/engines/vit', 'js/common/any', 'sw/any']) {
    for (const other of ['page', 'library', 'worker', 'engines', 'common']) {
      const source = relative(join(folder, room), join(folder, `js/${other}/other.js`));
      plant(`${room}/to_${other}.js`, `import { other } from '${source}';\n\nconsole.log(other);\n`);
    }
  }
  plant('js/worker/title.js', "document.title = '';\n");
  const { diagnostics } = JSON.parse(await output(['@biomejs/biome/bin/biome', 'lint', '--reporter=json', '.']));
  const paths = diagnostics.map((/** @type {any} */ { location }) => location.path);
  assert.deepEqual(paths.sort(), [
    'js/common/any/to_engines.js',
    'js/common/any/to_library.js',
    'js/common/any/to_page.js',
    'js/common/any/to_worker.js',
    'js/engines/vit/to_library.js',
    'js/engines/vit/to_page.js',
    'js/engines/vit/to_worker.js',
    'js/library/any/to_engines.js',
    'js/library/any/to_page.js',
    'js/library/any/to_worker.js',
    'js/page/ui/to_engines.js',
    'js/page/ui/to_library.js',
    'js/page/ui/to_worker.js',
    'js/worker/image/to_library.js',
    'js/worker/image/to_page.js',
    'js/worker/title.js',
    'sw/any/to_engines.js',
    'sw/any/to_library.js',
    'sw/any/to_page.js',
    'sw/any/to_worker.js',
  ]);
});
