/** The image formats: how each is recognised, and what its headers say. A read beyond the end raises `RangeError`. */

/** @typedef {Partial<import('../inspect.js').ImageInfo>} ImageHeader */
/** @typedef {{type: string, matches: (bytes: Uint8Array) => boolean, read: (bytes: Uint8Array) => ImageHeader}} Reader */

/** @type {Reader[]} */
export const READERS = [
  { type: 'image/png', matches: (bytes) => text(bytes, 0, 8) === '\x89PNG\r\n\x1a\n', read: readPng },
  { type: 'image/jpeg', matches: (bytes) => text(bytes, 0, 3) === '\xff\xd8\xff', read: readJpeg },
  { type: 'image/gif', matches: (bytes) => /^GIF8[79]a/.test(text(bytes, 0, 6)), read: readGif },
  { type: 'image/webp', matches: (bytes) => /^RIFF.{4}WEBP/s.test(text(bytes, 0, 12)), read: readWebp },
  { type: 'image/bmp', matches: isBmp, read: readBmp },
  { type: 'image/avif', matches: isAvif, read: readAvif },
];

/** @param {Uint8Array} bytes @param {number} start @param {number} length @returns {string} one character a byte */
function text(bytes, start, length) {
  return String.fromCharCode(...bytes.subarray(start, start + length));
}

/** @param {Uint8Array} bytes @returns {DataView} */
function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Chunks up to IEND: IHDR has the size, acTL announces an animation, tRNS transparency.
 * @param {Uint8Array} bytes
 * @returns {ImageHeader}
 */
function readPng(bytes) {
  const view = viewOf(bytes);
  const colour = view.getUint8(25);
  /** @type {ImageHeader} */
  const header = {
    width: view.getUint32(16),
    height: view.getUint32(20),
    bits: Math.max(8, view.getUint8(24)),
    alpha: colour === 4 || colour === 6,
  };
  let kind = '';
  for (let at = 8; kind !== 'IEND'; ) {
    if (at + 8 > bytes.length) return { ...header, truncated: true };
    const length = view.getUint32(at);
    kind = text(bytes, at + 4, 4);
    if (kind === 'acTL') header.animated = true;
    if (kind === 'tRNS') header.alpha = true;
    at += 12 + length;
    if (at > bytes.length) return { ...header, truncated: true };
  }
  return header;
}

/**
 * Segments up to the scan; the end marker cannot occur inside the scan's data.
 * @param {Uint8Array} bytes
 * @returns {ImageHeader}
 */
function readJpeg(bytes) {
  const view = viewOf(bytes);
  /** @type {ImageHeader} */
  const header = {};
  for (let at = 2; ; ) {
    if (at + 4 > bytes.length) return { truncated: true }; // without a scan there is no picture of any size
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff || marker === 0xff) {
      at++; // bytes between segments are passed over, as decoders do
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) {
      const components = view.getUint8(at + 9);
      Object.assign(header, {
        bits: view.getUint8(at + 4),
        height: view.getUint16(at + 5),
        width: view.getUint16(at + 7),
        cmyk: components === 4,
      });
    }
    if (marker === 0xda) return { ...header, truncated: !hasEndMarker(bytes, at) };
    at += 2 + view.getUint16(at + 2);
  }
}

/** @param {Uint8Array} bytes @param {number} from @returns {boolean} */
function hasEndMarker(bytes, from) {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === 0xd9) return true;
  }
  return false;
}

/**
 * Blocks up to the trailer: a second picture makes it an animation. The first may lie partly outside the screen, which is
 * then larger than it says; and it is whole without the trailer, which many programs leave out.
 * @param {Uint8Array} bytes
 * @returns {ImageHeader}
 */
function readGif(bytes) {
  const view = viewOf(bytes);
  /** @type {ImageHeader} */
  const header = { width: view.getUint16(6, true), height: view.getUint16(8, true), truncated: true };
  let frames = 0;
  let at = 13 + tableSize(view.getUint8(10));
  while (at + 10 < bytes.length && bytes[at] !== 0x3b) {
    const isFrame = bytes[at] === 0x2c;
    if (!isFrame && bytes[at] !== 0x21) break;
    if (isFrame && ++frames === 1) {
      const [left, top, width, height] = [1, 3, 5, 7].map((place) => view.getUint16(at + place, true));
      header.frame = { at, left, top, width, height };
      header.width = Math.max(Number(header.width), left + width);
      header.height = Math.max(Number(header.height), top + height);
    }
    if (frames === 0 && bytes[at + 1] === 0xf9 && bytes[at + 3] & 1) header.alpha = true;
    at += isFrame ? 11 + tableSize(bytes[at + 9]) : 2;
    while (at < bytes.length && bytes[at] !== 0) at += 1 + bytes[at];
    if (isFrame && at < bytes.length) header.truncated = false;
    at++;
  }
  return { ...header, animated: frames > 1 };
}

/** Bytes of the colour table that the packed flags announce. @param {number} flags @returns {number} */
function tableSize(flags) {
  return flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0;
}

/** The first chunk is VP8 (lossy), VP8L (lossless) or VP8X (extended). @param {Uint8Array} bytes @returns {ImageHeader} */
function readWebp(bytes) {
  const view = viewOf(bytes);
  const truncated = view.getUint32(4, true) + 8 > bytes.length;
  const kind = text(bytes, 12, 4);
  if (kind === 'VP8X') {
    const flags = view.getUint8(20);
    const size = /** @param {number} at */ (at) => 1 + view.getUint16(at, true) + (view.getUint8(at + 2) << 16);
    return {
      width: size(24),
      height: size(27),
      alpha: (flags & 0x10) !== 0,
      animated: (flags & 0x02) !== 0,
      truncated,
    };
  }
  if (kind === 'VP8L') {
    const packed = view.getUint32(21, true);
    return {
      width: 1 + (packed & 0x3fff),
      height: 1 + ((packed >>> 14) & 0x3fff),
      alpha: ((packed >>> 28) & 1) === 1,
      truncated,
    };
  }
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff, truncated };
}

/**
 * “BM” alone begins many a text, so the size of the header must be one there is.
 * @param {Uint8Array} bytes
 * @returns {boolean}
 */
function isBmp(bytes) {
  return (
    text(bytes, 0, 2) === 'BM' &&
    bytes.length >= 26 &&
    [12, 40, 52, 56, 64, 108, 124].includes(viewOf(bytes).getUint32(14, true))
  );
}

/** A negative height means that the rows begin at the top. @param {Uint8Array} bytes @returns {ImageHeader} */
function readBmp(bytes) {
  const view = viewOf(bytes);
  const core = view.getUint32(14, true) === 12;
  const width = core ? view.getUint16(18, true) : view.getInt32(18, true);
  const height = core ? view.getUint16(20, true) : Math.abs(view.getInt32(22, true));
  const bitsPerPixel = view.getUint16(core ? 24 : 28, true);
  const compressed = !core && view.getUint32(30, true) !== 0 && view.getUint32(30, true) !== 3;
  const rowBytes = Math.ceil((width * bitsPerPixel) / 32) * 4;
  const end = view.getUint32(10, true) + rowBytes * height;
  return { width, height, alpha: bitsPerPixel === 32, truncated: !compressed && end > bytes.length };
}

/** @param {Uint8Array} bytes @returns {boolean} */
function isAvif(bytes) {
  if (text(bytes, 4, 4) !== 'ftyp') return false;
  return /avi[fs]/.test(text(bytes, 8, Math.min(viewOf(bytes).getUint32(0), 64) - 8));
}

/**
 * The properties of all items lie in the meta box: the largest `ispe` is the picture's size (thumbnails and tiles have
 * smaller ones), `pixi` its bits, an auxiliary item of type alpha its transparency.
 * @param {Uint8Array} bytes
 * @returns {ImageHeader}
 */
function readAvif(bytes) {
  const view = viewOf(bytes);
  /** @type {ImageHeader} */
  const header = { width: 0, height: 0, animated: text(bytes, 8, 4) === 'avis' };
  let at = 0;
  while (at < bytes.length) {
    const length = view.getUint32(at) || bytes.length - at;
    const kind = text(bytes, at + 4, 4);
    if (length < 8) break;
    if (kind === 'meta') Object.assign(header, readAvifMeta(bytes.subarray(at, at + length)));
    at += length;
  }
  return { ...header, truncated: at > bytes.length };
}

/** @param {Uint8Array} meta @returns {ImageHeader} */
function readAvifMeta(meta) {
  const view = viewOf(meta);
  const all = text(meta, 0, Math.min(meta.length, 65_536));
  /** @type {ImageHeader} */
  const header = { width: 0, height: 0, alpha: all.includes('auxiliary:alpha'), bits: 8 };
  for (const { index } of all.matchAll(/ispe/g)) {
    const [width, height] = [view.getUint32(index + 8), view.getUint32(index + 12)];
    if (width * height > Number(header.width) * Number(header.height)) Object.assign(header, { width, height });
  }
  for (const { index } of all.matchAll(/pixi/g)) header.bits = Math.max(Number(header.bits), view.getUint8(index + 9));
  return header;
}
