/** Unpacks a zlib stream that may end early, as far as it goes; the browser's own decoder keeps nothing of such a one. */

import { VitError } from '../../../common/errors.js';

/** Extra bits and smallest value of each code, as RFC 1951 has them. */
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const LENGTHS = [...bases(LENGTH_EXTRA.slice(0, 28), 3), 258];
const DISTANCE_EXTRA = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];
const DISTANCES = bases(DISTANCE_EXTRA, 1);
/** The order in which the lengths of the codes for lengths are stored. */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/** Codes 16, 17, 18 repeat a length: how many extra bits say how often, and the least. */
const REPEATS = [
  { bits: 2, least: 3 },
  { bits: 3, least: 3 },
  { bits: 7, least: 11 },
];
const MAX_BITS = 15;

/** @param {number[]} extra @param {number} first @returns {number[]} */
function bases(extra, first) {
  let next = first;
  return extra.map((bits) => {
    const base = next;
    next += 2 ** bits;
    return base;
  });
}

/** The stream has ended. */
class EndOfInput extends Error {}

/** A canonical Huffman code: how many codes of each length there are, and the symbols in their order. */
class HuffmanCode {
  counts = new Uint16Array(MAX_BITS + 1);
  /** @type {number[]} */
  symbols;

  /** @param {number[]} lengths of the symbols' codes; 0 for one that does not occur */
  constructor(lengths) {
    for (const length of lengths) this.counts[length]++;
    this.counts[0] = 0;
    this.symbols = [...lengths.keys()].filter((symbol) => lengths[symbol] > 0);
    this.symbols.sort((a, b) => lengths[a] - lengths[b] || a - b);
  }

  /** @param {BitReader} input @returns {number} the next symbol */
  read(input) {
    let [code, first, index] = [0, 0, 0];
    for (let length = 1; length <= MAX_BITS; length++) {
      code |= input.bits(1);
      const count = this.counts[length];
      if (code - first < count) return this.symbols[index + code - first];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw damaged();
  }
}

class BitReader {
  #bytes;
  #at;
  #buffer = 0;
  #count = 0;

  /** @param {Uint8Array} bytes @param {number} at */
  constructor(bytes, at) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** Return the next bits, the first one lowest. @param {number} count at most 16 @returns {number} */
  bits(count) {
    for (; this.#count < count; this.#count += 8) this.#buffer |= this.byte() << this.#count;
    const value = this.#buffer & ((1 << count) - 1);
    this.#buffer >>>= count;
    this.#count -= count;
    return value;
  }

  /** Return the next byte; bits that were begun are to be dropped first. @returns {number} */
  byte() {
    if (this.#at >= this.#bytes.length) throw new EndOfInput();
    return this.#bytes[this.#at++];
  }

  /** Go on at the next whole byte. */
  align() {
    this.#buffer = this.#count = 0;
  }
}

class Output {
  filled = 0;
  /** @type {Uint8Array} */
  bytes;

  /** @param {number} limit */
  constructor(limit) {
    this.bytes = new Uint8Array(limit);
  }

  get full() {
    return this.filled === this.bytes.length;
  }

  /** @param {number} byte */
  put(byte) {
    this.bytes[this.filled++] = byte;
  }

  /** @param {number} length @param {number} distance */
  repeat(length, distance) {
    if (distance > this.filled) throw damaged();
    for (let count = 0; count < length && !this.full; count++) this.put(this.bytes[this.filled - distance]);
  }
}

/**
 * Return what a zlib stream holds, as far as it goes and no more than `limit` bytes.
 *
 * Raises `damaged_image` where the stream is not merely short but wrong.
 * @param {Uint8Array} stream
 * @param {number} limit
 * @returns {Uint8Array}
 */
export function inflate(stream, limit) {
  if (stream.length > 1 && ((stream[0] & 15) !== 8 || (stream[0] * 256 + stream[1]) % 31 !== 0)) throw damaged();
  const input = new BitReader(stream, 2);
  const output = new Output(limit);
  try {
    for (let last = 0; !last && !output.full; ) {
      last = input.bits(1);
      readBlock(input.bits(2), input, output);
    }
  } catch (error) {
    if (!(error instanceof EndOfInput)) throw error;
  }
  return output.bytes.subarray(0, output.filled);
}

/** @param {number} kind @param {BitReader} input @param {Output} output */
function readBlock(kind, input, output) {
  if (kind === 0) return readStored(input, output);
  if (kind === 3) throw damaged();
  const { literals, distances } = kind === 1 ? fixedCodes() : readCodes(input);
  while (!output.full) {
    const symbol = literals.read(input);
    if (symbol === 256) return;
    if (symbol < 256) output.put(symbol);
    else {
      const length = expanded(symbol - 257, LENGTHS, LENGTH_EXTRA, input);
      output.repeat(length, expanded(distances.read(input), DISTANCES, DISTANCE_EXTRA, input));
    }
  }
}

/** @param {number} symbol @param {number[]} least @param {number[]} extra @param {BitReader} input @returns {number} */
function expanded(symbol, least, extra, input) {
  if (symbol >= least.length) throw damaged();
  return least[symbol] + input.bits(extra[symbol]);
}

/** @param {BitReader} input @param {Output} output */
function readStored(input, output) {
  input.align();
  const length = input.byte() | (input.byte() << 8);
  const complement = input.byte() | (input.byte() << 8);
  if ((length ^ complement) !== 0xffff) throw damaged();
  for (let count = 0; count < length && !output.full; count++) output.put(input.byte());
}

/** @typedef {{literals: HuffmanCode, distances: HuffmanCode}} Codes */

/** @returns {Codes} */
function fixedCodes() {
  const lengths = Array.from({ length: 288 }, (_, symbol) =>
    symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8,
  );
  return { literals: new HuffmanCode(lengths), distances: new HuffmanCode(new Array(30).fill(5)) };
}

/** @param {BitReader} input @returns {Codes} */
function readCodes(input) {
  const [literals, distances, count] = [input.bits(5) + 257, input.bits(5) + 1, input.bits(4) + 4];
  /** @type {number[]} */
  const lengths = new Array(ORDER.length).fill(0);
  for (const place of ORDER.slice(0, count)) lengths[place] = input.bits(3);
  const code = new HuffmanCode(lengths);
  /** @type {number[]} */
  const found = [];
  while (found.length < literals + distances) {
    const symbol = code.read(input);
    if (symbol < 16) {
      found.push(symbol);
      continue;
    }
    const { bits, least } = REPEATS[symbol - 16];
    const repeated = symbol === 16 ? found.at(-1) : 0;
    if (repeated === undefined) throw damaged();
    for (let left = least + input.bits(bits); left > 0; left--) found.push(repeated);
  }
  if (found.length > literals + distances) throw damaged();
  return {
    literals: new HuffmanCode(found.slice(0, literals)),
    distances: new HuffmanCode(found.slice(literals)),
  };
}

const damaged = () => new VitError('damaged_image', 'The PNG file is damaged: its data cannot be unpacked.');
