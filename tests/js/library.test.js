import assert from 'node:assert/strict';
import test from 'node:test';
import { VitError } from '../../site/js/common/errors.js';
import { isForeign } from '../../site/js/common/worker_script.js';
import { failure, forCaller, refuseUnknown, requireCount } from '../../site/js/library/errors.js';
import { prepareInput } from '../../site/js/library/input.js';
import { chooseVariant, readManifest } from '../../site/js/library/manifest.js';

const MODEL = { name: 'tiny', labels: ['a', 'b'], outputs: 2, preprocess: {}, selftest: {}, variants: [] };
const MANIFEST = { schema_version: 1, generator: 'vit-pages', model: MODEL };

/** Return the code that a function raises. @param {() => unknown} run @returns {string} */
function codeOf(run) {
  try {
    run();
    return '';
  } catch (error) {
    assert.ok(error instanceof VitError && error.message && error.hint, String(error));
    return error.code;
  }
}

test('a manifest is taken when it has what loading needs, and what it lacks is named', () => {
  const read = (/** @type {unknown} */ value) => readManifest(JSON.stringify(value), 'm.json');
  assert.equal(read(MANIFEST).name, 'tiny');
  for (const wrong of [7, null, [], {}, { ...MANIFEST, generator: 'x' }, { ...MANIFEST, model: [] }])
    assert.equal(
      codeOf(() => read(wrong)),
      'bad_manifest',
    );
  assert.throws(() => read({ ...MANIFEST, schema_version: 2 }), /version 2 .* reads version 1/);
  for (const [name, value] of Object.entries({ labels: [1], outputs: 'x', variants: {}, selftest: null, name: 3 }))
    assert.throws(
      () => read({ ...MANIFEST, model: { ...MODEL, [name]: value } }),
      new RegExp(`lacks the model’s ${name}`),
    );
});

test('the variant is the one asked for, or the first that the library runs', () => {
  const variants = [
    { id: 'u8-tfjs', engine: 'tfjs' },
    { id: 'w8-vit', engine: 'vit' },
    { id: 'w4-vit', engine: 'vit' },
  ];
  const model = /** @type {any} */ ({ ...MODEL, variants });
  assert.equal(chooseVariant(model).id, 'w8-vit');
  assert.equal(chooseVariant(model, 'w4-vit').id, 'w4-vit');
  assert.throws(
    () => chooseVariant(model, 'u8-tfjs'),
    /no variant “u8-tfjs” that the library runs; it runs: w8-vit, w4-vit/,
  );
  assert.throws(() => chooseVariant({ ...model, variants: [] }), /no variant for the engine “vit”; it has: none/);
});

test('a hint is for the caller of the library, and one for the occasion stays', () => {
  assert.match(forCaller(new VitError('not_loaded', 'x')).hint, /load\(\)/);
  assert.equal(forCaller(new VitError('not_loaded', 'x', { hint: 'y' })).hint, 'y');
  assert.equal(forCaller(failure('bad_manifest', 'x')).hint, failure('bad_manifest', 'x').hint);
  assert.equal(forCaller(new TypeError('x')).code, 'internal');
  assert.equal(forCaller(new VitError('aborted', 'x')).code, 'aborted');
});

test('what browsers say of a policy is told as that', () => {
  const said = [
    "WebAssembly.compile(): Refused to compile or instantiate WebAssembly module because 'unsafe-eval' is not an allowed source of script in the following Content Security Policy directive",
    'call to WebAssembly.Module() blocked by CSP',
    "Refused to create a WebAssembly object because 'unsafe-eval' or 'wasm-unsafe-eval' is not an allowed source of script",
  ];
  for (const message of said) assert.equal(forCaller(new Error(message)).code, 'blocked_by_policy');
});

test('unknown options and wrong counts are refused', () => {
  assert.equal(
    codeOf(() => refuseUnknown({ a: 1 }, ['a'], 'f()')),
    '',
  );
  assert.throws(() => refuseUnknown({ a: 1, c: 2 }, ['a', 'b'], 'f()'), /f\(\) has no option “c”; it has: a, b/);
  for (const right of [undefined, 1, 7]) requireCount(right, 'top');
  for (const wrong of [0, -1, 1.5, '3', null, NaN])
    assert.equal(
      codeOf(() => requireCount(wrong, 'top')),
      'bad_request',
    );
});

test('what is no image is named by its kind', async () => {
  for (const [input, kind] of /** @type {const} */ ([
    [undefined, 'Undefined'],
    [7, 'Number'],
    [{}, 'class Object'],
    [new (class Picture {})(), 'class Picture'],
    [new Uint8Array(1), 'Uint8Array'],
  ]))
    await assert.rejects(prepareInput(input), { code: 'bad_input', message: new RegExp(kind) });
  const file = new Blob(['x']);
  assert.deepEqual(await prepareInput(file), { image: file, transfer: [] });
  await assert.rejects(prepareInput(file, AbortSignal.abort()), { code: 'aborted' });
});

test('Node starts its workers as they are', () => {
  assert.equal(isForeign('file:///thread.mjs'), false);
});
