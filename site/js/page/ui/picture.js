/** How a picture gets in: chosen, dropped anywhere, pasted, or one of the samples; and its preview. */

import { elements } from './elements.js';

/** @typedef {{blob: Blob, title: string}} Picture */

const SMALL_PIXELS = 96; // pictures up to this side are shown with their pixels as squares

/**
 * Listen to all ways in.
 * @param {(picture: Picture) => void} onPicture
 * @param {(problem: {message: string, hint: string}) => void} onProblem
 */
export function listenForPictures(onPicture, onProblem) {
  const samples = /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll('[data-sample]'));
  /** @param {Picture} picture @param {HTMLButtonElement | null} [sample] */
  const take = (picture, sample = null) => {
    for (const button of samples) button.ariaPressed = String(button === sample);
    showPreview(picture);
    onPicture(picture);
  };
  elements.file.addEventListener('change', () => {
    const [file] = elements.file.files ?? [];
    elements.file.value = ''; // so that choosing the same file again is noticed
    if (file) take({ blob: file, title: file.name });
  });
  for (const button of samples) {
    button.addEventListener('click', async () => {
      try {
        take(await fetchSample(button), button);
      } catch {
        onProblem({
          message: 'The sample could not be downloaded.',
          hint: 'Check the connection, or choose your own image.',
        });
      }
    });
  }
  listenForDrops(take, onProblem);
  listenForPaste(take, onProblem);
}

/** @param {HTMLButtonElement} button @returns {Promise<Picture>} */
async function fetchSample(button) {
  const answer = await fetch(/** @type {string} */ (button.dataset.sample));
  if (!answer.ok) throw new Error(`The server returned status ${answer.status} for the sample.`);
  return { blob: await answer.blob(), title: button.dataset.title ?? '' };
}

/**
 * @param {(picture: Picture) => void} take
 * @param {(problem: {message: string, hint: string}) => void} onProblem
 */
function listenForDrops(take, onProblem) {
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
    const [file] = event.dataTransfer?.files ?? [];
    if (file) take({ blob: file, title: file.name });
    else
      onProblem({
        message: 'Only files can be dropped here.',
        hint: 'Save the image on this device first, then drop the file.',
      });
  });
}

/**
 * @param {(picture: Picture) => void} take
 * @param {(problem: {message: string, hint: string}) => void} onProblem
 */
function listenForPaste(take, onProblem) {
  const nothing = {
    message: 'The clipboard contains no image.',
    hint: 'Copy an image, not its address, and paste again.',
  };
  document.addEventListener('paste', (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) take({ blob: file, title: 'Pasted image' });
    else onProblem(nothing);
  });
  if (!navigator.clipboard?.read) return; // then only the keyboard pastes
  elements.paste.hidden = false;
  elements.paste.addEventListener('click', async () => {
    try {
      const blob = await readClipboard();
      if (blob) take({ blob, title: 'Pasted image' });
      else onProblem(nothing);
    } catch {
      onProblem({
        message: 'The browser does not allow this page to read the clipboard.',
        hint: 'Allow it, or paste with the keyboard.',
      });
    }
  });
}

/** Return the clipboard's picture, or null. @returns {Promise<Blob | null>} */
async function readClipboard() {
  for (const item of await navigator.clipboard.read()) {
    const type = item.types.find((name) => name.startsWith('image/'));
    if (type) return item.getType(type);
  }
  return null;
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
