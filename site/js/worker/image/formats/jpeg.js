/**
 * JPEG files that end early: ended properly, and continued with noise, which shows how far their own data goes.
 * `export/data/decoding/jpeg.py` does the same.
 */

import { joined } from './joined.js';

/** @typedef {import('../orientation.js').Pixels} Pixels */

/** What decoders put where nothing is, as RGBA; in CMYK pictures it is another colour, and has to be looked up. */
export const GREY = new Uint32Array(Uint8Array.of(128, 128, 128, 255).buffer)[0];
const END = Uint8Array.of(0xff, 0xd9);
const FIRST_RESTART = 0xd0;
const RESTARTS = 8;
/** Begins the segment that says how many blocks lie between restart marks. */
const INTERVAL = [0xff, 0xdd, 0, 4];
/** Bits that decode to something else than grey. */
const NOISE = 0xaa;
/** More than a decoder can take for the components of 8 columns. */
const BYTES_PER_BLOCK = 768;

/**
 * Return a JPEG file without its unfinished last segment, ended; decoders fill the rest with grey.
 * @param {Uint8Array} bytes
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function endJpeg(bytes) {
  return joined([finished(bytes), END]);
}

/**
 * Return the file with noise in place of the rows that it lacks; where it lacks none, decoders pass over the noise.
 *
 * It goes on for a row of blocks at least, also where decoders wait for restart marks.
 * @param {Uint8Array} bytes
 * @param {number} width
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function continueJpeg(bytes, width) {
  const own = withoutFill(finished(bytes));
  const columns = Math.ceil(width / 8);
  const at = own.findIndex((_, from) => INTERVAL.every((value, offset) => own[from + offset] === value));
  const interval = at < 0 ? 0 : own[at + 4] * 256 + own[at + 5];
  const noise = new Uint8Array(BYTES_PER_BLOCK * Math.min(interval || columns, columns)).fill(NOISE);
  if (!interval) return joined([own, noise, END]);
  const next = nextRestart(own);
  const parts = Array.from({ length: Math.floor(columns / interval) + 2 }, (_, step) => [
    Uint8Array.of(0xff, FIRST_RESTART + ((next + step) % RESTARTS)),
    noise,
  ]);
  return joined([own, noise, ...parts.flat(), END]);
}

/**
 * The rows that a JPEG file has: it lacks the last ones if they have the colour and noise changes them.
 * @param {Pixels} stored
 * @param {boolean} cmyk
 * @param {() => Promise<Pixels | null>} probe gives the file's pixels with noise behind its data; null: it has none
 */
export async function rowsThere(stored, cmyk, probe) {
  const { width, height } = stored;
  const own = words(stored);
  const colour = cmyk ? own[own.length - 1] : GREY;
  let last = own.length - 1;
  while (last >= 0 && own[last] === colour) last--;
  const rows = Math.floor(last / width) + 1;
  const probed = rows < height ? await probe() : null;
  if (!probed) return rows;
  const noisy = words(probed);
  const changed = own.subarray(rows * width).findIndex((value, at) => value !== noisy[rows * width + at]);
  return changed < 0 ? height : rows + Math.floor(changed / width);
}

/** @param {Pixels} pixels */
function words({ data, width, height }) {
  return new Uint32Array(data.buffer, data.byteOffset, width * height);
}

/** @param {Uint8Array} bytes */
function finished(bytes) {
  for (let at = 2; at + 1 < bytes.length; ) {
    const marker = bytes[at] === 0xff ? bytes[at + 1] : 0;
    if (marker === 0 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd7)) {
      at++; // inside a scan
      continue;
    }
    const next = at + 3 < bytes.length ? at + 2 + bytes[at + 2] * 256 + bytes[at + 3] : Infinity;
    if (next > bytes.length) return bytes.subarray(0, at);
    at = next;
  }
  return bytes;
}

/** @param {Uint8Array} bytes without the signs at its end that would begin a mark */
function withoutFill(bytes) {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0xff) end--;
  return bytes.subarray(0, end);
}

/** The number of the restart mark that follows the last one. @param {Uint8Array} bytes */
function nextRestart(bytes) {
  for (let at = bytes.length - 2; at >= 0; at--) {
    const number = bytes[at + 1] - FIRST_RESTART;
    if (bytes[at] === 0xff && number >= 0 && number < RESTARTS) return number + 1;
  }
  return 0;
}
