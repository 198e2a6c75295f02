/** How a picture gets in: chosen, dropped anywhere, pasted, or one of the samples; and its preview. */

import { VitError } from '../../common/errors.js';
import { elements } from './elements.js';
import { describeOther, pick, readTransfer } from './incoming.js';

/**
 * A picture to classify; `notices` are what is to be said of how it came.
 * @typedef {{blob: Blob, title: string, notices: string[]}} Picture
 * @typedef {{message: string, hint: string}} Problem
 *
 * What becomes of what was handed over.
 * @typedef {object} Takers
 * @property {(picture: Picture, sample?: HTMLButtonElement | null) => void} take
 * @property {(problem: Problem) => void} onProblem
 */

const SMALL_PIXELS = 96; // pictures up to this side are shown with their pixels as squares

/**
 * Listen to all ways in.
 * @param {(picture: Picture, show: () => void) => void} onPicture `show` shows which picture it is
 * @param {(problem: Problem) => void} onProblem
 */
export function listenForPictures(onPicture, onProblem) {
  const samples = /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll('[data-sample]'));
  /** @type {Takers['take']} */
  const take = (picture, sample = null) => {
    onPicture(picture, () => {
      for (const button of samples) button.ariaPressed = String(button === sample);
      showPreview(picture);
    });
  };
  const takers = { take, onProblem };
  elements.file.addEventListener('change', () => {
    const files = [...(elements.file.files ?? [])];
    elements.file.value = ''; // so that choosing the same file again is noticed
    hand(pick({ files, folders: [] }, 'chosen'), takers);
  });
  for (const button of samples) {
    button.addEventListener('click', async () => {
      try {
        take(await fetchSample(button), button);
      } catch (cause) {
        onProblem(asSampleProblem(cause));
      }
    });
  }
  listenForDrops(takers);
  listenForPaste(takers);
}

/**
 * Take a picture or show a problem; false where there is neither.
 * @param {Picture | Problem | null} picked
 * @param {Takers} takers
 * @returns {boolean}
 */
function hand(picked, { take, onProblem }) {
  if (!picked) return false;
  if ('blob' in picked) take(picked);
  else onProblem(picked);
  return true;
}

/** @param {unknown} cause @returns {VitError} */
function asSampleProblem(cause) {
  if (cause instanceof VitError) return cause;
  const hint = 'Check the connection, or choose your own image.';
  return new VitError('network_lost', 'The sample could not be downloaded.', { hint, cause });
}

/** @param {HTMLButtonElement} button @returns {Promise<Picture>} */
async function fetchSample(button) {
  const answer = await fetch(/** @type {string} */ (button.dataset.sample));
  if (!answer.ok) {
    const message = `The sample could not be downloaded: the server returned status ${answer.status}.`;
    throw new VitError('http_error', message, { hint: 'Try again in a minute, or choose your own image.' });
  }
  return { blob: await answer.blob(), title: button.dataset.title ?? '', notices: [] };
}

/** @param {Takers} takers */
function listenForDrops(takers) {
  /** @param {DragEvent} event */
  const over = (event) => {
    event.preventDefault();
    const inside = event.type !== 'dragleave' || event.relatedTarget !== null;
    elements.dropVeil.classList.toggle('shown', inside);
  };
  document.addEventListener('dragover', over);
  document.addEventListener('dragleave', over);
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    elements.dropVeil.classList.remove('shown');
    const picked = pick(readTransfer(event.dataTransfer), 'dropped');
    hand(picked ?? describeOther(event.dataTransfer), takers);
  });
}

/** @param {Takers} takers */
function listenForPaste(takers) {
  const nothing = {
    message: 'The clipboard contains no image.',
    hint: 'Copy an image, not its address, and paste again.',
  };
  document.addEventListener('paste', (event) => {
    hand(pick(readTransfer(event.clipboardData), 'pasted') ?? nothing, takers);
  });
  if (!navigator.clipboard?.read) return; // then only the keyboard pastes
  elements.paste.hidden = false;
  elements.paste.addEventListener('click', async () => {
    try {
      const files = await readClipboard();
      hand(pick({ files, folders: [] }, 'pasted') ?? nothing, takers);
    } catch {
      takers.onProblem({
        message: 'The browser does not allow this page to read the clipboard.',
        hint: 'Allow it, or paste with the keyboard.',
      });
    }
  });
}

/** Return the clipboard's pictures. @returns {Promise<File[]>} */
async function readClipboard() {
  const files = [];
  for (const item of await navigator.clipboard.read()) {
    const type = item.types.find((name) => name.startsWith('image/'));
    if (type) files.push(new File([await item.getType(type)], 'Pasted image', { type }));
  }
  return files;
}

/** @param {Picture} picture */
function showPreview({ blob, title }) {
  const { preview } = elements;
  const address = URL.createObjectURL(blob);
  const before = preview.src;
  preview.onload = () => {
    preview.classList.toggle('pixels', Math.max(preview.naturalWidth, preview.naturalHeight) <= SMALL_PIXELS);
  };
  preview.onerror = () => {
    preview.hidden = true; // the runtime's own check says what is wrong with the file
    elements.frameHint.textContent = 'The browser cannot display this file.';
    elements.frameHint.hidden = false;
  };
  preview.alt = `Your image: ${title}`;
  preview.src = address;
  preview.hidden = false;
  elements.frameHint.hidden = true;
  if (before.startsWith('blob:')) URL.revokeObjectURL(before);
}
