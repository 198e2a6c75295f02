/**
 * Cross-origin isolation, which WebAssembly threads need: whether this visit has it, why not, and the service worker
 * that brings it where the host sends no headers. No DOM here; `ui/isolation.js` is the visible part.
 */

import { messageOf } from '../common/errors.js';
import { cachePrefix, isOptedOut, modeOf, withMode } from '../common/service_worker.js';

/**
 * @typedef {import('../common/service_worker.js').Mode} Mode
 *
 * What decides about a visit.
 * @typedef {object} Visit
 * @property {boolean} optedOut by the address
 * @property {boolean} secure
 * @property {boolean} supported whether there are service workers
 * @property {boolean} embedded in another page
 * @property {boolean} isolated already
 * @property {Mode | null} controller mode of our service worker that serves this page
 * @property {boolean} appleMobile
 * @property {number} cores
 *
 * @typedef {object} IsolationPlan
 * @property {Mode | null} mode what to ask of the service worker; null: nothing
 * @property {string} obstacle why there is no service worker; '' where there is one
 * @property {string} reason why there is but one thread; '' where there may be more
 * @property {boolean} reload whether one reload can switch threads on
 */

/** Why there is but one thread, when that is not the visit's own doing. */
export const NOT_ISOLATED = 'the browser does not isolate this page, although the page requests it';
export const COMING = 'more are being set up';
export const LATER = 'more will be available on the next visit; reloading now would interrupt this one';
export const AGAIN = 'more will be available on the next visit; this tab has already been reloaded for them';

/**
 * Decide what a visit asks of the service worker.
 * @param {Visit} visit
 * @returns {IsolationPlan}
 */
export function planFor(visit) {
  const { isolated, controller, appleMobile, cores } = visit;
  /** @param {Mode} mode @param {string} reason @param {boolean} [reload] @returns {IsolationPlan} */
  const plan = (mode, reason, reload = false) => ({ mode, obstacle: '', reason, reload });
  const obstacle = obstacleFor(visit);
  if (obstacle) return { mode: null, obstacle, reason: isolated ? '' : obstacle, reload: false };
  // A page that is isolated through our own service worker stays so; else it is the host's doing.
  if (isolated) return plan(controller === 'isolate' ? 'isolate' : 'host', '');
  if (appleMobile) return plan('plain', 'iPhones and iPads run out of memory with threads');
  if (cores < 2) return plan('plain', 'this device reports one core');
  return controller === 'isolate' ? plan('isolate', NOT_ISOLATED) : plan('isolate', COMING, true);
}

/** Why there can be no service worker; '' when there can. @param {Visit} visit @returns {string} */
function obstacleFor({ optedOut, secure, supported, embedded }) {
  if (optedOut) return 'switched off by isolation=off in the address';
  if (!secure) return 'browsers allow it only on secure pages (https:// or http://localhost)';
  if (embedded) return 'the page is embedded in another one';
  return supported ? '' : 'private browsing or the browser’s settings allow no service worker';
}

/**
 * Whether this is an iPhone or iPad, also one that passes for a Mac: no Mac has a touch screen.
 * @param {{userAgent: string, maxTouchPoints: number}} browser
 * @returns {boolean}
 */
export function isAppleMobile({ userAgent, maxTouchPoints }) {
  return /\b(iPhone|iPad|iPod)\b/.test(userAgent) || (/\bMacintosh\b/.test(userAgent) && maxTouchPoints > 1);
}

/**
 * Return what decides about this visit.
 * @param {string} script absolute URL of the service worker
 * @param {{address: string, embedded: boolean}} page
 * @returns {Visit}
 */
export function describeVisit(script, { address, embedded }) {
  const supported = 'serviceWorker' in navigator;
  const controlling = supported ? navigator.serviceWorker.controller?.scriptURL : undefined;
  return {
    optedOut: isOptedOut(address),
    secure: isSecureContext,
    supported,
    embedded,
    isolated: crossOriginIsolated,
    controller: controlling && ownScripts(script, controlling) ? modeOf(controlling) : null,
    appleMobile: isAppleMobile(navigator),
    cores: navigator.hardwareConcurrency ?? 1,
  };
}

/** Whether two URLs differ in nothing but their query. @param {string} ours @param {string} other */
function ownScripts(ours, other) {
  return new URL(other).origin + new URL(other).pathname === new URL(ours).origin + new URL(ours).pathname;
}

/**
 * Register the service worker and wait until it has kept the page's files; return whether it is in charge of the next
 * load, which it is not while pages of an earlier version are open. Raises an error when the browser refuses it or a
 * file is not what was published.
 * @param {string} script absolute URL
 * @param {Mode} mode
 * @returns {Promise<boolean>}
 */
export async function register(script, mode) {
  const url = withMode(script, mode);
  /** @type {ServiceWorkerRegistration | undefined} some extensions make it answer with nothing */
  const registration = await navigator.serviceWorker.register(url, { updateViaCache: 'none' });
  if (!registration) throw new Error('the browser blocks it');
  if (registration.active?.scriptURL === url) return true;
  const coming = registration.installing ?? registration.waiting;
  if (!coming) throw new Error('the browser stopped its installation');
  return settled(coming, registration);
}

/** @param {ServiceWorker} coming @param {ServiceWorkerRegistration} registration @returns {Promise<boolean>} */
function settled(coming, registration) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (coming.state === 'activated') resolve(true);
      else if (coming.state === 'installed' && registration.active) resolve(false);
      else if (coming.state === 'redundant') reject(new Error('a file of this page differs from the published one'));
    };
    coming.addEventListener('statechange', look);
    look();
  });
}

/** Take the service worker away, with all that it kept of this site. @param {string} script absolute URL */
export async function unregister(script) {
  const folder = new URL('./', script).href;
  const registrations = (await navigator.serviceWorker?.getRegistrations()) ?? [];
  await Promise.all(registrations.filter(({ scope }) => scope === folder).map((one) => one.unregister()));
  const names = typeof caches === 'undefined' ? [] : await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(cachePrefix(folder))).map((name) => caches.delete(name)));
}

/** Why a registration failed, for a visitor. @param {unknown} error @returns {string} */
export function describeFailure(error) {
  return `the service worker could not be set up (${messageOf(error)})`;
}

/** The one reload that a tab may see, remembered for as long as the tab is open. */
export class ReloadGuard {
  #key;

  /** @param {string} script absolute URL of the service worker */
  constructor(script) {
    this.#key = `vit-pages:reload:${new URL('./', script).pathname}`;
  }

  /** Use the reload up; false when it is used up, or when that could not be remembered. @returns {boolean} */
  take() {
    return !this.#read() && this.#write('taken');
  }

  /** Whether the reload was used up. */
  get taken() {
    return this.#read() !== null;
  }

  /** Whether this is the load right after it; true once. @returns {boolean} */
  follows() {
    return this.#read() === 'taken' && this.#write('told');
  }

  /** @returns {string | null} */
  #read() {
    try {
      return sessionStorage.getItem(this.#key);
    } catch {
      return null;
    }
  }

  /** @param {string} state @returns {boolean} */
  #write(state) {
    try {
      sessionStorage.setItem(this.#key, state);
      return true;
    } catch {
      return false;
    }
  }
}
