/**
 * The page's service worker: isolates the page where the host cannot, and keeps its files for visits without a network.
 *
 * A new version waits until no page of the old one is open (there is no skipWaiting), so that none loses its files;
 * pages themselves come from the host first, so that the next visit sees the new version all the same.
 */

import { modeOf } from '../js/common/service_worker.js';
import { headersFor, routeOf, withHeaders } from './routes.js';
import { cacheUsed, deleteOldCaches, precache, readCached } from './shell_cache.js';

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const mode = modeOf(worker.location.href);
/** @type {import('./shell_cache.js').Shell} */
const shell = { ...SHELL, folder: new URL('./', worker.location.href).href };

/** How long a host may take to answer for a page that is kept. */
const NETWORK_TIMEOUT_MS = 4000;

worker.addEventListener('install', (event) => event.waitUntil(precache(shell)));

worker.addEventListener('activate', (event) => {
  event.waitUntil(Promise.all([deleteOldCaches(shell), worker.clients.claim()]));
});

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const route = routeOf(request, shell.folder, { ...shell.files, ...shell.later });
  if (!route) return;
  const pending = route.kind === 'asset' ? cacheFirst(event, route.path) : networkFirst(request, route.path);
  const more = headersFor(route, mode, request.url);
  event.respondWith(pending.then((response) => withHeaders(response, more)));
});

/** @param {FetchEvent} event @param {string} path */
async function cacheFirst(event, path) {
  const kept = await readCached(shell, path);
  if (kept) return kept;
  const response = await fetch(event.request);
  // It is stored after it was used; where that fails, the host has it still.
  if (path in shell.later) event.waitUntil(cacheUsed(shell, path, response.clone()).catch(() => {}));
  return response;
}

/** @param {Request} request @param {string} path */
async function networkFirst(request, path) {
  const pending = fetch(request, { cache: 'no-cache' });
  try {
    const response = await Promise.race([pending, new Promise((resolve) => setTimeout(resolve, NETWORK_TIMEOUT_MS))]);
    if (response && !isOverloaded(response)) return response;
  } catch {
    // No network: what is kept answers.
  }
  return (await readCached(shell, path)) ?? pending;
}

/** Whether the host is there but cannot answer now. @param {Response} response */
function isOverloaded({ status }) {
  return status === 429 || status >= 500;
}
