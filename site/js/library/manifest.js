/** The manifest of a published model: what it is, and which of its variants the library can run. */

import { throwIfAborted } from '../common/errors.js';
import { failure } from './errors.js';

/** @typedef {import('../common/site_data.js').Model} Model */
/** @typedef {import('../common/site_data.js').Variant} Variant */
/** @typedef {{model: Model, base: string}} Manifest `base` is the folder that its files are relative to */

const GENERATOR = 'vit-pages';
const SCHEMA_VERSION = 1;
/** The one engine of the library. */
const ENGINE = 'vit';

/** What a model must have for the library to begin. @type {Record<string, (value: any) => boolean>} */
const REQUIRED = {
  name: (value) => typeof value === 'string',
  labels: (value) => Array.isArray(value) && value.every((label) => typeof label === 'string'),
  outputs: Number.isInteger,
  preprocess: isRecord,
  selftest: isRecord,
  variants: (value) => Array.isArray(value) && value.every(isRecord),
};

/** Resolve an address as a page's own links are. @param {string | URL} address @returns {URL} */
export function resolve(address) {
  try {
    return new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (cause) {
    throw failure('bad_request', `“${address}” is no address.`, { cause });
  }
}

/**
 * Fetch a manifest. Other than the files it names it changes under the same name, so the host is always asked.
 *
 * Raises `network_lost`, `http_error`, `html_instead`, `bad_manifest` or `aborted`.
 * @param {URL} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<Manifest>}
 */
export async function fetchManifest(url, signal) {
  throwIfAborted(signal);
  const response = await fetchFrom(url, { signal, cache: 'no-cache' });
  const text = await response.text().catch((cause) => {
    throwIfAborted(signal);
    throw failure('network_lost', `The connection for ${url.href} was lost.`, { cause });
  });
  if (response.headers.get('content-type')?.startsWith('text/html') || text.trimStart().startsWith('<'))
    throw failure('html_instead', `${url.href} is a web page, not a manifest.`, {
      hint: 'Pass the address of models/NAME/manifest.json of a built site.',
    });
  return { model: readManifest(text, url.href), base: new URL('./', url).href };
}

/**
 * Fetch from any host; raises `network_lost`, `http_error` or `aborted`.
 * @param {URL} url
 * @param {RequestInit & {signal?: AbortSignal}} options
 * @returns {Promise<Response>}
 */
export async function fetchFrom(url, options) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, options);
  } catch (cause) {
    throwIfAborted(options.signal);
    const foreign = url.origin !== globalThis.origin && url.protocol.startsWith('http');
    const hint = foreign
      ? "Check the connection; the other host must send Access-Control-Allow-Origin, and this page's Content-Security-Policy must allow it in connect-src."
      : 'Check the connection and try again.';
    throw failure('network_lost', `${url.href} could not be fetched.`, { hint, cause });
  }
  if (!response.ok) {
    const hint = response.status === 404 ? 'Check the address.' : 'Try again in a minute.';
    throw failure('http_error', `The server returned status ${response.status} for ${url.href}.`, { hint });
  }
  return response;
}

/**
 * Return the model of a manifest; raises `bad_manifest`.
 * @param {string} text
 * @param {string} address
 * @returns {Model}
 */
export function readManifest(text, address) {
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch (cause) {
    throw failure('bad_manifest', `${address} is not JSON.`, { cause });
  }
  if (!isRecord(manifest) || manifest.generator !== GENERATOR || !isRecord(manifest.model))
    throw failure('bad_manifest', `${address} is not the manifest of a model.`);
  if (manifest.schema_version !== SCHEMA_VERSION) {
    throw failure(
      'bad_manifest',
      `${address} has version ${manifest.schema_version} of the format; this library reads version ${SCHEMA_VERSION}.`,
      { hint: 'Use the library that the same site publishes.' },
    );
  }
  const { model } = manifest;
  const wrong = Object.keys(REQUIRED).filter((name) => !REQUIRED[name](model[name]));
  if (wrong.length > 0) throw failure('bad_manifest', `${address} lacks the model’s ${wrong.join(', ')}.`);
  return /** @type {Model} */ (/** @type {unknown} */ (model));
}

/**
 * Return the variant of that id, or the first one; raises `unknown_variant` unless the library runs it.
 * @param {Model} model
 * @param {string} [id]
 * @returns {Variant}
 */
export function chooseVariant({ name, variants }, id) {
  const own = variants.filter(({ engine }) => engine === ENGINE);
  if (own.length === 0) {
    const found = variants.map((variant) => variant.id).join(', ') || 'none';
    throw failure('unknown_variant', `${name} has no variant for the engine “${ENGINE}”; it has: ${found}.`, {
      hint: 'Build the site with a recipe that the vit engine runs, such as w8a8_gptq.',
    });
  }
  const chosen = id === undefined ? own[0] : own.find((variant) => variant.id === id);
  if (chosen) return chosen;
  throw failure(
    'unknown_variant',
    `${name} has no variant “${id}” that the library runs; it runs: ${own.map((variant) => variant.id).join(', ')}.`,
  );
}

/** @param {any} value @returns {value is Record<string, any>} */
function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
