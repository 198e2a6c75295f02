/** What is handed over at once, dropped or pasted: which picture of it is used, and what is said of the rest. */

/**
 * @typedef {import('./picture.js').Picture} Picture
 * @typedef {{message: string, hint: string}} Problem
 * @typedef {{files: File[], folders: string[]}} Incoming
 */

/** Types of which a file is most likely one that can be read. */
const READABLE = new Set(['png', 'jpeg', 'webp', 'avif', 'gif', 'bmp'].map((kind) => `image/${kind}`));
const ONE_BY_ONE = 'Images are classified one at a time.';

/**
 * Return the files and folders of a drop or a paste; must be called while its event is handled.
 * @param {DataTransfer | null} transfer
 * @returns {Incoming}
 */
export function readTransfer(transfer) {
  const folders = [...(transfer?.items ?? [])]
    .filter(({ kind }) => kind === 'file')
    .map((item) => item.webkitGetAsEntry())
    .filter((entry) => entry?.isDirectory)
    .map((entry) => /** @type {FileSystemEntry} */ (entry).name);
  // A folder is also among the files, as one that cannot be read.
  const files = [...(transfer?.files ?? [])].filter(({ name }) => !folders.includes(name));
  return { files, folders };
}

/**
 * Return the first picture, if possible one that can be read, with a notice of what else there was; null where there is neither file nor folder.
 * @param {Incoming} incoming
 * @param {'chosen' | 'dropped' | 'pasted'} how
 * @returns {Picture | Problem | null}
 */
export function pick({ files, folders }, how) {
  const full = files.filter(({ size }) => size > 0);
  const file =
    full.find(({ type }) => READABLE.has(type)) ?? files.find(({ type }) => type.startsWith('image/')) ?? files[0];
  if (!file) return folders.length > 0 ? folderProblem(folders, how) : null;
  const title = how === 'pasted' ? 'Pasted image' : file.name;
  return { blob: file, title, notices: restNotices(files.length, folders.length, file.name, how) };
}

/**
 * @param {number} files
 * @param {number} folders
 * @param {string} used
 * @param {string} how
 * @returns {string[]}
 */
function restNotices(files, folders, used, how) {
  const notices = [];
  if (files > 1) {
    const others = files === 2 ? 'the other one was not' : `the other ${files - 1} were not`;
    notices.push(`${files} files were ${how}: “${used}” was taken, ${others}. ${ONE_BY_ONE}`);
  }
  if (folders > 0)
    notices.push(
      `${folders === 1 ? 'A folder was' : `${folders} folders were`} ${how} too, and not used; “${used}” was taken.`,
    );
  return notices;
}

/** @param {string[]} folders @param {string} how @returns {Problem} */
function folderProblem(folders, how) {
  const [name] = folders;
  const message =
    folders.length === 1
      ? `“${name}” is a folder, not an image.`
      : `${folders.length} folders were ${how}, and no image.`;
  return { message, hint: `Open the folder, and choose an image in it. ${ONE_BY_ONE}` };
}

/** What was dropped where it was no file. @param {DataTransfer | null} transfer @returns {Problem} */
export function describeOther(transfer) {
  const types = new Set(transfer?.types ?? []);
  if (types.has('text/uri-list') || types.has('text/x-moz-url')) {
    return {
      message: 'Only files can be dropped here; this was an address, which the page does not open.',
      hint: 'Save the image on this device first and drop the file, or copy the image and paste it.',
    };
  }
  const kind = types.has('text/plain') || types.has('text/html') ? 'text' : 'something else';
  return {
    message: `Only files can be dropped here; this was ${kind}.`,
    hint: 'Save the image on this device first, then drop the file.',
  };
}
