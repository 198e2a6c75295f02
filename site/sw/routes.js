/** Which requests the service worker answers, and the headers that its answers get. */

import { isOptedOut } from '../js/common/service_worker.js';

/**
 * - `page`: as the host has it now; what was kept where there is no network
 * - `loose`: the same, for files whose names do not change with their content
 * - `asset`: what was kept, for files named by their content
 *
 * @typedef {{kind: 'page' | 'loose' | 'asset', path: string}} Route
 * @typedef {import('../js/common/service_worker.js').Mode} Mode
 *
 * The part of a request that is used.
 * @typedef {Pick<Request, 'url' | 'method' | 'mode' | 'cache' | 'headers'>} RequestParts
 */

const ASSETS = 'assets/';
const SCRIPT = /\.m?js$/;
/** Cache modes that ask for something else than what was kept. @type {Set<RequestCache>} */
const PAST_CACHES = new Set(['reload', 'no-store', 'only-if-cached']);

const OWN = { 'cross-origin-resource-policy': 'same-origin' };
const EMBEDDER = { 'cross-origin-embedder-policy': 'require-corp', ...OWN };
const ISOLATION = { 'cross-origin-opener-policy': 'same-origin', ...EMBEDDER };

/**
 * Return what a request asks of this site, or null for one to leave alone: another origin or site, weights, a part of
 * a file, anything but reading.
 * @param {RequestParts} request
 * @param {string} folder the site's, with a final slash
 * @param {Record<string, string>} files that are kept, at once or later, by their path inside the folder
 * @returns {Route | null}
 */
export function routeOf(request, folder, files) {
  const { origin, pathname } = new URL(request.url);
  const base = new URL(folder);
  if (request.method !== 'GET' || request.headers.has('range')) return null;
  if (origin !== base.origin || !pathname.startsWith(base.pathname)) return null;
  const path = pathname.slice(base.pathname.length);
  if (request.mode === 'navigate') {
    const page = path === '' ? 'index.html' : path;
    return page.endsWith('.html') && page in files ? { kind: 'page', path: page } : null;
  }
  if (PAST_CACHES.has(request.cache)) return null;
  // A script of a newer version may be a worker's, which an isolated page starts only with the header.
  if (path.startsWith(ASSETS)) return path in files || SCRIPT.test(path) ? { kind: 'asset', path } : null;
  return path in files && !path.endsWith('.html') ? { kind: 'loose', path } : null;
}

/**
 * Return the headers that are added to a response.
 * @param {Route} route
 * @param {Mode} mode
 * @param {string} address that was requested
 * @returns {Record<string, string>}
 */
export function headersFor({ kind, path }, mode, address) {
  if (mode === 'plain') return {};
  if (kind === 'page') return mode === 'isolate' && !isOptedOut(address) ? ISOLATION : {};
  return SCRIPT.test(path) ? EMBEDDER : {};
}

/**
 * Return a response with more headers; one that the browser keeps closed (a redirect) stays as it is.
 * @param {Response} response
 * @param {Record<string, string>} more
 * @returns {Response}
 */
export function withHeaders(response, more) {
  const closed = response.type === 'opaque' || response.type === 'opaqueredirect' || response.type === 'error';
  if (closed || Object.keys(more).length === 0) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(more)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
