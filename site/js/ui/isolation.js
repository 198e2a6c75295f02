/** Switches threads on where it takes no more than one reload, in the open, and never while the visitor does something. */

import { LATER, lookAtVisit, planFor, REFUSED, register, ReloadGuard, whyNot, withdraw } from '../isolation.js';
import { say } from './state.js';

/** How long the page says that it will reload before it does. */
const NOTICE_MS = 800;

/**
 * Set up the service worker; `tell` hears why there is but one thread whenever that changes, '' where there are more.
 * @param {string} script absolute URL of the service worker
 * @param {{busy: () => boolean, tell: (reason: string) => void}} page
 */
export async function isolate(script, { busy, tell }) {
  const visit = lookAtVisit(script, { address: location.href, embedded: window.top !== window.self });
  const { mode, reason } = planFor(visit);
  const guard = new ReloadGuard(script);
  tell(reason);
  if (visit.isolated && guard.follows()) say('Ready. The page was reloaded once to switch on threads. Choose a picture, or try a sample.');
  try {
    if (visit.optedOut) await withdraw(script);
    const inCharge = mode !== null && (await register(script, mode));
    if (mode !== 'isolate' || visit.isolated || reason) return;
    tell(inCharge ? await reloadOnce(guard, () => busy() || navigator.userActivation?.hasBeenActive === true) : LATER);
  } catch (error) {
    if (!visit.isolated) tell(reason || whyNot(error));
  }
}

/**
 * Reload the page, or return why not.
 * @param {ReloadGuard} guard
 * @param {() => boolean} busy
 * @returns {Promise<string>}
 */
async function reloadOnce(guard, busy) {
  if (guard.taken) return REFUSED;
  if (busy()) return LATER;
  say('Reloading once to switch on threads …');
  await new Promise((resolve) => setTimeout(resolve, NOTICE_MS));
  if (busy()) return LATER;
  if (!guard.take()) return LATER;
  location.reload();
  return 'the page is being reloaded';
}
