/** Switches threads on where it takes no more than one reload, in the open, and never while the visitor does something. */

import {
  AGAIN,
  describeFailure,
  describeVisit,
  LATER,
  planFor,
  ReloadGuard,
  register,
  unregister,
} from '../isolation.js';
import { READY, say } from './state.js';

/** How long the page says that it will reload before it does. */
const NOTICE_MS = 800;

/**
 * What the page says of itself.
 * @typedef {object} IsolationStatus
 * @property {string} reason why there is but one thread; '' where there may be more
 * @property {string} offline whether the page opens without a network, and why not; '' while that is not known
 */

/**
 * Set up the service worker; `onStatus` hears of every change.
 * @param {string} script absolute URL of the service worker
 * @param {{busy: () => boolean, onStatus: (status: IsolationStatus) => void}} page
 */
export async function isolate(script, { busy, onStatus }) {
  const visit = describeVisit(script, { address: location.href, embedded: window.top !== window.self });
  const { mode, obstacle, reason, reload } = planFor(visit);
  const guard = new ReloadGuard(script);
  onStatus({ reason, offline: obstacle && `no: ${obstacle}` });
  if (visit.isolated && guard.follows()) {
    say(`${READY} The page was reloaded once to enable threads.`);
  }
  try {
    if (visit.optedOut) await unregister(script);
    if (mode === null) return;
    const inCharge = await register(script, mode);
    onStatus({ reason: reload && !inCharge ? LATER : reason, offline: 'yes' });
    if (!reload || !inCharge) return;
    onStatus({ reason: await reloadOnce(guard, busy), offline: 'yes' });
  } catch (error) {
    onStatus({ reason: reload ? describeFailure(error) : reason, offline: `no: ${describeFailure(error)}` });
  }
}

/**
 * Reload the page, or return why not.
 * @param {ReloadGuard} guard
 * @param {() => boolean} busy
 * @returns {Promise<string>}
 */
async function reloadOnce(guard, busy) {
  const touched = () => busy() || navigator.userActivation?.hasBeenActive === true;
  if (guard.taken) return AGAIN;
  if (touched()) return LATER;
  say('Reloading once to enable threads …');
  await new Promise((resolve) => setTimeout(resolve, NOTICE_MS));
  if (touched() || !guard.take()) {
    if (!busy()) say(READY);
    return LATER;
  }
  location.reload();
  return 'the page is being reloaded';
}
