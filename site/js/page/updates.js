/** Whether a failure comes of the site having been published anew while this page was open. */

import { VitError } from '../common/errors.js';
import { showProblem, showsProblem } from './ui/state.js';

/** What a file that is gone, or is another one now, looks like. */
const SUSPECT = new Set(['bad_model', 'hash_mismatch', 'html_instead', 'http_error', 'network_lost', 'wrong_length']);
const PATIENCE_MS = 10_000;

/**
 * Show a problem at once, and in its place that the site was updated, if it was.
 * @param {VitError | {message: string, hint: string}} problem
 * @param {(() => void) | null} retry
 */
export async function showExplained(problem, retry) {
  showProblem(problem, retry);
  if (!(problem instanceof VitError && SUSPECT.has(problem.code) && (await wasUpdated()))) return;
  if (!showsProblem(problem)) return; // something else has gone on meanwhile
  const message = `The site was updated while this page was open. ${problem.message}`;
  showProblem(new VitError('site_updated', message, { cause: problem }), null);
}

/** Compare this page with what its address has now. @returns {Promise<boolean>} */
async function wasUpdated() {
  try {
    const options = { cache: /** @type {const} */ ('no-store'), signal: AbortSignal.timeout(PATIENCE_MS) };
    const response = await fetch(location.href, options);
    if (!response.ok) return false;
    const published = versionOf(new DOMParser().parseFromString(await response.text(), 'text/html'));
    return published !== null && published !== versionOf(document);
  } catch {
    return false; // without a network there is no newer version either
  }
}

/** What differs between versions of the page: its data, and its script's name. @param {Document} page @returns {string | null} */
function versionOf(page) {
  const data = page.getElementById('site-data')?.textContent;
  return data ? `${page.querySelector('script[type=module]')?.getAttribute('src')} ${data}` : null;
}
