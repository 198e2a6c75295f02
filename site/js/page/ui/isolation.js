/** Switches threads on where it takes no more than one reload, in the open, and never while the visitor does something. */

import { AGAIN, LATER, lookAtVisit, planFor, ReloadGuard, register, whyNot, withdraw } from '../isolation.js';
import { READY, say } from './state.js';

/** How long the page says that it will reload before it does. */
const NOTICE_MS = 800;

/**
 * What the page says of itself.
 * @typedef {object} Standing
 * @property {string} reason why there is but one thread; '' where there may be more
 * @property {string} offline whether the page opens without a network, and why not; '' while that is not known
 */

/**
 * Set up the service worker; `tell` hears of every change.
 * @param {string} script absolute URL of the service worker
 * @param {{busy: () => boolean, tell: (standing: Standing) => void}} page
 */
export async function isolate(script, { busy, tell }) {
  const visit = lookAtVisit(script, { address: location.href, embedded: window.top !== window.self });
  const { mode, obstacle, reason, reload } = planFor(visit);
  const guard = new ReloadGuard(script);
  tell({ reason, offline: obstacle && `no: ${obstacle}` });
  if (visit.isolated && guard.follows()) {
    say(`${READY} The page was reloaded once to switch on threads.`);
  }
  try {
    if (visit.optedOut) await withdraw(script);
    if (mode === null) return;
    const inCharge = await register(script, mode);
    tell({ reason: reload && !inCharge ? LATER : reason, offline: 'yes' });
    if (!reload || !inCharge) return;
    tell({ reason: await reloadOnce(guard, busy), offline: 'yes' });
  } catch (error) {
    tell({ reason: reload ? whyNot(error) : reason, offline: `no: ${whyNot(error)}` });
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
  say('Reloading once to switch on threads …');
  await new Promise((resolve) => setTimeout(resolve, NOTICE_MS));
  if (touched() || !guard.take()) {
    if (!busy()) say(READY);
    return LATER;
  }
  location.reload();
  return 'the page is being reloaded';
}
