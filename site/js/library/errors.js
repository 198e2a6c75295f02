/** Errors as the library's callers see them: each with a code and, in `hint`, a step that is theirs to take. */

import { asVitError, HINTS, VitError } from '../common/errors.js';

/** The next step, where it differs from a page's visitor's, and for what only the library raises. @type {Record<string, string>} */
const STEPS = {
  backend_unavailable: 'Update the browser.',
  bad_input: 'Pass a File, Blob, URL, <img>, <canvas>, <video>, OffscreenCanvas, ImageBitmap, ImageData or VideoFrame.',
  bad_manifest: 'Pass the address of models/NAME/manifest.json of a built site.',
  bad_model: 'The published model is damaged or has a newer format: update the library, or build the site again.',
  bad_request: 'See the documentation of the library.',
  blocked_by_policy:
    "Allow it in the page's Content-Security-Policy: worker-src blob:, the library's origin in script-src and connect-src, and script-src 'wasm-unsafe-eval'.",
  cross_origin_image:
    'Its server must send Access-Control-Allow-Origin, and the element needs the attribute crossorigin="anonymous".',
  disposed: 'Call load() again.',
  hash_mismatch: 'Try again; the wrong file was not kept. If this happens again, the site was published incompletely.',
  html_instead: 'Check the address; the site may also just have been updated: reload the page.',
  internal: 'Call dispose() and load() again; if it happens again, please report it with the text above.',
  no_simd: 'Update the browser.',
  not_loaded: 'Call load() again.',
  out_of_memory: 'Close other tabs, or choose a smaller variant or model.',
  unknown_variant: 'Choose one of those, or leave `variant` out.',
  wrong_result: 'Choose another variant, or open the page in another browser.',
};

/** What browsers say when a page's policy forbids WebAssembly. */
const BLOCKED = /content security policy|blocked by csp|wasm-unsafe-eval/i;

/**
 * Return an error of the library.
 * @param {string} code
 * @param {string} message
 * @param {{hint?: string, cause?: unknown}} [options]
 */
export function failure(code, message, { hint = STEPS[code], cause } = {}) {
  return new VitError(code, message, { hint, cause });
}

/** Return what was thrown with a hint for the library's caller. @param {unknown} thrown @returns {VitError} */
export function forCaller(thrown) {
  const error = asVitError(thrown);
  const { code, message, hint } = error;
  if (code !== 'aborted' && BLOCKED.test(message))
    return failure('blocked_by_policy', `The page’s policy forbids what the library needs: ${message}`, {
      cause: thrown,
    });
  // A hint that was written for the occasion stays.
  if (hint !== HINTS[code] || STEPS[code] === undefined) return error;
  return failure(code, message, { cause: thrown });
}

/**
 * Raise `bad_request` for options that are not known: a misspelt one would be passed over in silence.
 * @param {object} options
 * @param {string[]} known
 * @param {string} what takes them
 */
export function refuseUnknown(options, known, what) {
  const unknown = Object.keys(options).filter((name) => !known.includes(name));
  if (unknown.length === 0) return;
  throw failure('bad_request', `${what} has no option “${unknown.join('”, “')}”; it has: ${known.join(', ')}.`);
}

/**
 * Raise `bad_request` unless a value was left out or is a whole number from 1 on.
 * @param {unknown} value
 * @param {string} name
 */
export function requireCount(value, name) {
  if (value === undefined || (Number.isInteger(value) && Number(value) >= 1)) return;
  throw failure('bad_request', `${name} is ${String(value)}; it must be a whole number from 1 on.`);
}
