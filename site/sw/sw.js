/**
 * The page's service worker: isolates the page where the host cannot, and keeps its files for visits without a network.
 *
 * A new version waits until no page of the old one is open (there is no skipWaiting), so that none loses its files;
 * pages themselves come from the host first, so that the next visit sees the new version all the same.
 */

import { modeOf } from '../js/shared/service_worker.js';
import { dropEarlier, keepShell, keepUsed, readKept } from './keep.js';
import { headersFor, routeOf, withHeaders } from './routes.js';

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const mode = modeOf(worker.location.href);
/** @type {import('./keep.js').Shell} */
const shell = { ...SHELL, folder: new URL('./', worker.location.href).href };

/** How long a host may take to answer for a page that is kept. */
const PATIENCE_MS = 4000;

worker.addEventListener('install', (event) => event.waitUntil(keepShell(shell)));

worker.addEventListener('activate', (event) => {
  event.waitUntil(Promise.all([dropEarlier(shell), worker.clients.claim()]));
});

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const route = routeOf(request, shell.folder, { ...shell.files, ...shell.later });
  if (!route) return;
  const answering = route.kind === 'asset' ? keptFirst(event, route.path) : hostFirst(request, route.path);
  const more = headersFor(route, mode, request.url);
  event.respondWith(answering.then((answer) => withHeaders(answer, more)));
});

/** @param {FetchEvent} event @param {string} path */
async function keptFirst(event, path) {
  const kept = await readKept(shell, path);
  if (kept) return kept;
  const answer = await fetch(event.request);
  // It is stored after it was used; where that fails, the host has it still.
  if (path in shell.later) event.waitUntil(keepUsed(shell, path, answer.clone()).catch(() => {}));
  return answer;
}

/** @param {Request} request @param {string} path */
async function hostFirst(request, path) {
  const answering = fetch(request, { cache: 'no-cache' });
  try {
    const answer = await Promise.race([answering, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
    if (answer && !isOverloaded(answer)) return answer;
  } catch {
    // No network: what is kept answers.
  }
  return (await readKept(shell, path)) ?? answering;
}

/** Whether the host is there but cannot answer now. @param {Response} answer */
function isOverloaded({ status }) {
  return status === 429 || status >= 500;
}
