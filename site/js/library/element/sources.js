/** The ways in which an image gets into the element: chosen, dropped on it, or pasted. */

import { failure } from '../errors.js';

/**
 * @typedef {object} Receiver
 * @property {(files: File[]) => void} onFiles one at least
 * @property {(error: import('../../common/errors.js').VitError) => void} onProblem
 * @property {() => boolean} pastes whether what is pasted nowhere in particular is for this element
 */

const DROPPED = 'Save the image on this device first, then drop the file.';
const PASTED = 'Copy an image, not its address, and paste again.';

/**
 * Listen to all ways in, as long as `signal` is not aborted.
 * @param {HTMLElement} host
 * @param {import('./view.js').View} view
 * @param {Receiver} receiver
 * @param {AbortSignal} signal
 */
export function listenForImages(host, view, receiver, signal) {
  const { file, buttons } = view;
  buttons.choose.addEventListener('click', () => file.click(), { signal });
  const chosen = () => {
    const files = [...(file.files ?? [])];
    file.value = ''; // so that choosing the same file again is noticed
    if (files.length > 0) receiver.onFiles(files);
  };
  file.addEventListener('change', chosen, { signal });
  listenForDrops(host, view, receiver, signal);
  const pasted = (/** @type {ClipboardEvent} */ event) => takePasted(host, event, receiver);
  document.addEventListener('paste', pasted, { signal });
  buttons.paste.addEventListener('click', () => void readClipboard(receiver), { signal });
}

/** @param {HTMLElement} host @param {import('./view.js').View} view @param {Receiver} receiver @param {AbortSignal} signal */
function listenForDrops(host, view, receiver, signal) {
  /** @param {DragEvent} event */
  const over = (event) => {
    event.preventDefault();
    const leaves =
      event.type === 'dragleave' && !host.shadowRoot?.contains(/** @type {Node | null} */ (event.relatedTarget));
    view.frame.classList.toggle('over', !leaves);
  };
  host.addEventListener('dragover', over, { signal });
  host.addEventListener('dragleave', over, { signal });
  host.addEventListener(
    'drop',
    (event) => {
      event.preventDefault();
      view.frame.classList.remove('over');
      takeDropped(event.dataTransfer, receiver);
    },
    { signal },
  );
}

/** @param {DataTransfer | null} dropped @param {Receiver} receiver */
function takeDropped(dropped, { onFiles, onProblem }) {
  const isFolder = [...(dropped?.items ?? [])].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
  const files = [...(dropped?.files ?? [])];
  if (isFolder) onProblem(failure('not_an_image', 'A folder was dropped.', { hint: 'Drop one image out of it.' }));
  else if (files.length > 0) onFiles(files);
  else onProblem(failure('not_an_image', 'Only files can be dropped here.', { hint: DROPPED }));
}

/** @param {HTMLElement} host @param {ClipboardEvent} event @param {Receiver} receiver */
function takePasted(host, event, { onFiles, onProblem, pastes }) {
  const path = event.composedPath();
  const aimed = path.includes(host);
  if (event.defaultPrevented || isEditable(path[0]) || !(aimed || pastes())) return;
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length > 0) {
    event.preventDefault();
    onFiles(files);
  } else if (aimed) {
    onProblem(failure('not_an_image', 'The clipboard contains no image.', { hint: PASTED }));
  }
}

/** Whether something is typed into. @param {EventTarget | undefined} target */
function isEditable(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches('input, textarea, select'));
}

/** @param {Receiver} receiver */
async function readClipboard({ onFiles, onProblem }) {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((name) => name.startsWith('image/'));
      if (type) return onFiles([new File([await item.getType(type)], 'pasted', { type })]);
    }
    onProblem(failure('not_an_image', 'The clipboard contains no image.', { hint: PASTED }));
  } catch (cause) {
    const hint = 'Allow it, or paste with the keyboard.';
    onProblem(
      failure('clipboard_denied', 'The browser does not allow this page to read the clipboard.', { hint, cause }),
    );
  }
}
