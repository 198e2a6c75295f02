/** Kinds of file that people try and no browser decodes everywhere, by their first bytes, and what to do instead. */

/**
 * A kind is recognised by what its files begin with, a character a byte, or by a pattern.
 * @typedef {{name: string, begins?: string[], pattern?: RegExp, hint: string}} OtherKind
 */

const AS_JPEG = 'Save or share it as JPEG first.';
const AS_PNG = 'Save it as PNG first.';
const FOLLOW = 'Open what it leads to, save the image there, and choose that file.';

/** @type {OtherKind[]} */
const OTHER_KINDS = [
  { name: 'a HEIC photo', pattern: /^.{4}ftyp(hei|hev|mif1|msf1)/s, hint: AS_JPEG },
  { name: 'a TIFF image', begins: ['II*\0', 'MM\0*'], hint: AS_JPEG },
  { name: 'a JPEG XL image', begins: ['\xff\x0a', '\0\0\0\x0cJXL '], hint: AS_JPEG },
  { name: 'a JPEG 2000 image', begins: ['\0\0\0\x0cjP  ', '\xff\x4f\xff\x51'], hint: AS_JPEG },
  { name: 'a Photoshop document', begins: ['8BPS'], hint: AS_JPEG },
  { name: 'a Windows icon', begins: ['\0\0\x01\0'], hint: AS_PNG },
  {
    name: 'an SVG drawing',
    pattern: /^\s*(<\?xml[^>]*>\s*)?(<!DOCTYPE svg[^>]*>\s*)?(<!--.*?-->\s*)*<svg/is,
    hint: AS_PNG,
  },
  { name: 'a PDF document', begins: ['%PDF'], hint: 'Save the page as PNG first.' },
  {
    name: 'a web page',
    pattern: /^(\xef\xbb\xbf)?\s*<(!doctype html|html)/i,
    hint: 'Save the image itself, not the page it is on.',
  },
  { name: 'a shortcut', pattern: /^(\xef\xbb\xbf)?\s*\[(InternetShortcut|Desktop Entry|\{000214A0)/i, hint: FOLLOW },
  { name: 'a shortcut', pattern: /^\s*<\?xml[^>]*>.{0,200}<plist/is, hint: FOLLOW },
  { name: 'a shortcut', begins: ['L\0\0\0\x01\x14\x02\0', 'book\0\0\0\0mark', 'bplist00'], hint: FOLLOW },
  { name: 'a video', pattern: /^(.{4}ftyp|RIFF.{4}AVI )/s, hint: 'Choose a still image of it.' },
  { name: 'a video', begins: ['\x1a\x45\xdf\xa3'], hint: 'Choose a still image of it.' },
  {
    name: 'an archive',
    begins: ['PK\x03\x04', 'Rar!', '7z\xbc\xaf', '\x1f\x8b'],
    hint: 'Unpack it, and choose an image from it.',
  },
  {
    name: 'a Git LFS pointer, not the file itself',
    begins: ['version https://git-lfs'],
    hint: 'Fetch the file: git lfs pull.',
  },
];

/** Return the kind that a file's first bytes show, or null for any other. @param {Uint8Array} bytes @returns {OtherKind | null} */
export function recognise(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 512));
  const matches = /** @param {OtherKind} kind */ ({ begins, pattern }) =>
    begins?.some((begin) => text.startsWith(begin)) || pattern?.test(text);
  return OTHER_KINDS.find(matches) ?? null;
}
