/** The one error class of the runtime, and how it is sent between threads. */

/**
 * What can go wrong, and the next step that is shown when the thrower names none.
 * @type {Record<string, string>}
 */
export const HINTS = {
  aborted: 'Start again at any time; files already downloaded and verified are kept.',
  altered_pictures:
    'Switch fingerprinting protection off for this site, then try again: in Brave through the lion in the address bar, in ' +
    'Firefox and Tor Browser with privacy.resistFingerprinting in about:config; or open the page in another browser.',
  backend_unavailable: 'Choose one of the backends listed.',
  bad_model: 'The published model is damaged or has a newer format: reload the page, or rebuild the site.',
  bad_request: 'This is a bug in the page itself; please report it with the text above.',
  browser_too_old: 'Update the browser.',
  damaged_image: 'Choose the image again, or open and re-save it in an image editor.',
  empty_file: 'Choose the image again; the copy may have been interrupted.',
  hash_mismatch: 'Try again; the wrong file was not kept. If this happens again, the site was published incompletely.',
  html_instead: 'Reload the page: the site may just have been updated.',
  http_error: 'Try again in a minute.',
  image_too_large: 'Scale the image down first.',
  insecure_context: 'Open the page over https:// or on http://localhost.',
  image_too_thin: 'Choose an image with a less extreme aspect ratio.',
  internal: 'Reload the page; if it happens again, please report it with the text above.',
  network_lost: 'Check the connection and try again; files already verified are not downloaded again.',
  no_simd: 'Update the browser, or choose the webgl or cpu backend.',
  not_an_image: 'Choose a PNG, JPEG, WebP, AVIF, GIF or BMP image.',
  not_loaded: 'Load a model first.',
  out_of_memory: 'Close other tabs, choose a smaller model, or choose the wasm backend with one thread.',
  site_updated: 'Reload the page to go on with the new version.',
  unreadable_file: 'Choose the file again: it may have been moved, changed or deleted since, or it is a folder.',
  wrong_result: 'Choose another backend, for example wasm.',
  wrong_length: 'Try again; the wrong file was not kept. If this happens again, the site was published incompletely.',
};

/** A failure with a stable `code` (a key of `HINTS`) and a `hint` that names the next step. */
export class VitError extends Error {
  /**
   * @param {string} code
   * @param {string} message what happened, where, and what was found
   * @param {{hint?: string, cause?: unknown}} [options]
   */
  constructor(code, message, { hint, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'VitError';
    this.code = code;
    this.hint = hint ?? HINTS[code] ?? '';
  }
}

/**
 * The plain object that stands for an error in a message.
 * @typedef {{name: string, code: string, message: string, hint: string}} PlainError
 */

/**
 * Return any thrown value as a `VitError`; unknown ones become `aborted`, `out_of_memory` or `internal`.
 * @param {unknown} thrown
 * @returns {VitError}
 */
export function asVitError(thrown) {
  if (thrown instanceof VitError) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(messageOf(thrown));
  if (error.name === 'AbortError') return new VitError('aborted', 'Cancelled.', { cause: thrown });
  if (isOutOfMemory(error)) {
    return new VitError('out_of_memory', `The browser ran out of memory: ${error.message}`, { cause: thrown });
  }
  return new VitError('internal', `${error.name}: ${error.message}`, { cause: thrown });
}

/** What a thrown value says, without its class. @param {unknown} thrown @returns {string} */
export function messageOf(thrown) {
  if (thrown && typeof thrown === 'object' && 'message' in thrown) return String(thrown.message);
  return String(thrown);
}

/** Whether an engine's error means that memory could not be had. @param {Error} error @returns {boolean} */
function isOutOfMemory(error) {
  return /out of memory|memory access out of bounds|allocation failed|cannot enlarge memory|context lost/i.test(
    error.message,
  );
}

/** @param {unknown} thrown @returns {PlainError} */
export function toPlain(thrown) {
  const { name, code, message, hint } = asVitError(thrown);
  return { name, code, message, hint };
}

/** @param {PlainError} plain @returns {VitError} */
export function fromPlain(plain) {
  return new VitError(plain.code, plain.message, { hint: plain.hint });
}

/** Throw `aborted` when the signal says so. @param {AbortSignal | undefined} signal */
export function throwIfAborted(signal) {
  if (signal?.aborted) throw new VitError('aborted', 'Cancelled.');
}
