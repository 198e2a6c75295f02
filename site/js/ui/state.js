/** The state line, the progress of the download, and the box that says what went wrong and how to go on. */

import { elements } from './elements.js';
import { formatBytes } from './figures.js';

/** Say what is going on; screen readers hear it too, so it changes with the stage and not with every byte. @param {string} text */
export function say(text) {
  if (elements.state.textContent !== text) elements.state.textContent = text;
}

/** Show or hide progress and its cancel button. @param {boolean} running */
export function setRunning(running) {
  elements.progress.classList.toggle('running', running);
  if (running) elements.download.removeAttribute('value');
  elements.downloadBytes.textContent = '';
}

/** Show how many bytes of the weights have arrived. @param {number} loaded @param {number} total */
export function showBytes(loaded, total) {
  elements.download.max = total;
  elements.download.value = loaded;
  elements.downloadBytes.textContent = `${formatBytes(loaded)} of ${formatBytes(total)}`;
}

/** Show how many of a number of runs are done. @param {number} done @param {number} total */
export function showRuns(done, total) {
  elements.download.max = total;
  elements.download.value = done;
  elements.downloadBytes.textContent = `${done} of ${total} runs`;
}

/**
 * Show what went wrong, the way on, and a button that tries again where there is something to try.
 * @param {{message: string, hint?: string}} problem
 * @param {(() => void) | null} retry
 */
export function showProblem({ message, hint }, retry) {
  elements.problemMessage.textContent = message;
  elements.problemHint.textContent = hint ?? '';
  elements.retry.hidden = retry === null;
  elements.retry.onclick = retry;
  elements.problem.hidden = false;
}

/** Take the box away. */
export function clearProblem() {
  elements.problem.hidden = true;
}
