/** Starts the library's worker, also from another origin's script and under a page's policy; says why where it cannot. */

import { asVitError, messageOf } from '../common/errors.js';
import { hostWorker } from '../common/hosted_workers.js';
import { RpcClient } from '../common/rpc.js';
import { isForeign, openScript } from '../common/worker_script.js';
import { failure } from './errors.js';

/** @typedef {RpcClient<import('../common/protocol.js').LibraryRequests>} Rpc */

/**
 * Return the client of a worker that answers. A script of the page's own origin is started as it is; where that fails
 * (an isolated page refuses one that comes without headers) by its text, as those of other origins are.
 *
 * Raises `network_lost`, `http_error`, `blocked_by_policy` or `aborted`.
 * @param {string} script absolute URL
 * @param {AbortSignal} [signal]
 * @returns {Promise<Rpc>}
 */
export async function connect(script, signal) {
  /** @type {unknown} */
  let reason;
  for (const byText of isForeign(script) ? [true] : [false, true]) {
    try {
      return await start(script, byText, signal);
    } catch (error) {
      if (signal?.aborted) throw error;
      reason = error;
    }
  }
  throw await explain(script, reason);
}

/** @param {string} script @param {boolean} byText @param {AbortSignal} [signal] @returns {Promise<Rpc>} */
async function start(script, byText, signal) {
  const { address, close } = await openScript(script, byText);
  /** @type {Rpc | undefined} */
  let rpc;
  try {
    rpc = new RpcClient(hostWorker(address, { type: 'module' }), 'the library');
    await rpc.call('hello', new URL('./', script).href, { signal });
    return rpc;
  } catch (error) {
    rpc?.end(asVitError(error));
    throw error;
  } finally {
    close();
  }
}

/** Find out why a script cannot be started: browsers do not say. @param {string} script @param {unknown} cause */
async function explain(script, cause) {
  let response;
  try {
    response = await fetch(script, { cache: 'reload' });
  } catch {
    return failure('network_lost', `The library’s worker ${script} could not be fetched.`, {
      hint: "Check the connection; a host on another origin must send Access-Control-Allow-Origin, and the page's Content-Security-Policy must allow it in connect-src.",
      cause,
    });
  }
  if (!response.ok) {
    // The names of what an older copy of the library asks for are gone: at the next load, its own is new.
    await fetch(import.meta.url, { cache: 'reload' }).catch(() => {});
    return failure('http_error', `The server returned status ${response.status} for the library’s worker ${script}.`, {
      hint: 'The site that publishes the library may just have been updated: reload the page.',
      cause,
    });
  }
  return failure('blocked_by_policy', `The browser does not start the library’s worker: ${messageOf(cause)}`, {
    cause,
  });
}
