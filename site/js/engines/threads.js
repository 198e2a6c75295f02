/** How many threads an engine gets, and why no more. */

import { messageOf, VitError } from '../common/errors.js';
import { sharesMemory } from './wasm_features.js';

/** More threads than this gain little on models of this size. */
const MOST_THREADS = 4;
/** What would go wrong with one thread as well. */
const ALL_THE_SAME = new Set(['aborted', 'bad_model', 'http_error', 'network_lost']);

/**
 * Start with the threads requested, or with one and the reason why.
 * @template T
 * @param {number | undefined} requested left out, as many as pay
 * @param {string} singleThreadReason why this browser can have one only; '' when it can have more
 * @param {(threads: number, reason: string) => Promise<T>} start
 * @param {number} [most] when none are requested
 * @returns {Promise<T>}
 */
export async function startThreaded(requested, singleThreadReason, start, most = MOST_THREADS) {
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  const wanted = Math.max(1, requested ?? Math.min(most, cores));
  const reason = refusal() || singleThreadReason;
  if (reason) return start(1, wanted > 1 ? reason : '');
  if (wanted === 1) return start(1, requested === 1 ? '' : 'this device reports one core');
  try {
    return await start(wanted, '');
  } catch (error) {
    if (error instanceof VitError && ALL_THE_SAME.has(error.code)) throw error;
    // Shared memory reserves its maximum, which iOS refuses.
    return start(1, `${wanted} threads could not be started: ${messageOf(error)}`);
  }
}

/** Why this browser allows this page one thread only; '' where it allows more. */
function refusal() {
  if (globalThis.crossOriginIsolated !== true)
    return 'the page is not cross-origin isolated, so the browser allows only one thread';
  return sharesMemory() ? '' : 'this browser does not let threads share memory, so it allows only one';
}
