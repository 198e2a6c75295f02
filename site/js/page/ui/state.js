/** The state line, the progress of the download, and the box that says what went wrong and how to go on. */

import { elements, make } from './elements.js';
import { formatBytes, formatPercent } from './figures.js';

const PHASES = {
  download: 'Downloading the weights …',
  decode: 'Decoding the weights …',
  compile: 'Compiling the model …',
  first_run: 'Running the model for the first time …',
  selftest: 'Running the self-test …',
};

/** What the state line says while there is nothing to report. */
export const READY = 'Ready. Choose an image, or try a sample.';

/** Say what is going on; screen readers hear it too, so it changes with the stage and not with every byte. @param {string} text */
export function say(text) {
  if (elements.state.textContent !== text) elements.state.textContent = text;
}

/** What takes less needs no progress; and drawing it, like transitions, takes the processor from the model. */
const PROGRESS_AFTER_MS = 250;
/** An answer that is there by then seems instant, so that what is asked is drawn with it, and not beside the model. */
const INSTANT_MS = 100;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let showing;

/** Show progress and its cancel button, of anything but loading only once it takes a while; or hide them. @param {boolean} running */
export function setRunning(running) {
  clearTimeout(showing);
  document.documentElement.classList.toggle('computing', running);
  if (running) {
    elements.download.removeAttribute('value');
    showing = setTimeout(() => elements.progress.classList.add('running'), PROGRESS_AFTER_MS);
  } else elements.progress.classList.remove('running');
  elements.downloadBytes.textContent = '';
}

/**
 * Draw what a task begins with: with its answer, or as soon as that takes a while, or when it is aborted.
 * @param {() => void} draw
 * @param {AbortSignal} signal
 * @returns {() => void} draws it at once, unless it has been drawn
 */
export function drawSoon(draw, signal) {
  let drawn = false;
  const now = () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', now);
    if (!drawn) draw();
    drawn = true;
  };
  const timer = setTimeout(now, INSTANT_MS);
  signal.addEventListener('abort', now);
  return now;
}

/** Say how loading goes, above the answer and beside the load button. @param {import('../../common/protocol.js').LoadProgress} progress */
export function showLoading({ phase, loaded, total }) {
  elements.progress.classList.add('running');
  say(PHASES[phase]);
  elements.loadNote.textContent = PHASES[phase];
  if (phase !== 'download') return;
  elements.download.max = total;
  elements.download.value = loaded;
  elements.downloadBytes.textContent = `${formatBytes(loaded)} of ${formatBytes(total)}`;
  elements.loadNote.textContent = `${PHASES[phase]} ${formatPercent(loaded / total)}`;
}

/** Show how far a measurement is, above and beside the measure button. @param {import('../../common/protocol.js').BenchmarkProgress} progress */
export function showRuns({ phase, done, total }) {
  if (phase === 'run') {
    elements.download.max = total;
    elements.download.value = done;
  }
  const text = phase === 'warmup' ? `warm-up run ${done}` : `run ${done} of ${total}`;
  elements.downloadBytes.textContent = text;
  elements.warmNote.textContent = `Measuring: ${text} …`;
}

/**
 * Show what went wrong, the way on, and a button for it: one that tries again where there is something to try, and one
 * that reloads where the way on says so.
 * @param {{message: string, hint?: string}} problem
 * @param {(() => void) | null} retry
 */
export function showProblem({ message, hint = '' }, retry) {
  elements.problemMessage.textContent = message;
  elements.problemHint.textContent = hint;
  elements.retry.hidden = retry === null;
  elements.retry.onclick = retry;
  elements.reload.hidden = !/\breload\b/i.test(hint);
  elements.problem.hidden = false;
}

/** Whether this is the problem that is shown. @param {{message: string}} problem @returns {boolean} */
export function showsProblem({ message }) {
  return !elements.problem.hidden && elements.problemMessage.textContent === message;
}

/** Show that a back end was rejected, and what is used instead. @param {string} text */
export function showFallback(text) {
  elements.refusals.append(make('p', { text }));
  elements.refusals.hidden = false;
}

/** Remove the notes on fallbacks: they were about another choice. */
export function clearFallbacks() {
  elements.refusals.replaceChildren();
  elements.refusals.hidden = true;
}

/** Take the box away. */
export function clearProblem() {
  elements.problem.hidden = true;
}
