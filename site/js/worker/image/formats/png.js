/** PNG files as chunks: read, put together again, and made of plain pixels. Pure: no DOM. */

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Most bytes of a deflate block that is stored as it is. */
const STORED_BLOCK = 0xffff;

/**
 * A chunk of a PNG file; the last one of a file that ends early has only the data that is there.
 * @typedef {{kind: string, data: Uint8Array}} Chunk
 */

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** @param {Uint8Array} bytes @returns {number} */
function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** @param {Uint8Array} bytes @returns {number} */
function adler32(bytes) {
  let [low, high] = [1, 0];
  for (let start = 0; start < bytes.length; start += 3800) {
    for (const byte of bytes.subarray(start, start + 3800)) {
      low += byte;
      high += low;
    }
    low %= 65521;
    high %= 65521;
  }
  return high * 65536 + low;
}

/** Return the chunks of a file up to IEND, or up to its early end. @param {Uint8Array} bytes @returns {Chunk[]} */
export function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** @type {Chunk[]} */
  const chunks = [];
  for (let at = SIGNATURE.length; at + 8 <= bytes.length && chunks.at(-1)?.kind !== 'IEND'; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    chunks.push({ kind, data: bytes.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  return chunks;
}

/** Return a file of chunks. @param {Chunk[]} chunks @returns {Uint8Array<ArrayBuffer>} */
export function writeChunks(chunks) {
  const size = chunks.reduce((sum, { data }) => sum + 12 + data.length, SIGNATURE.length);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set(SIGNATURE);
  let at = SIGNATURE.length;
  for (const { kind, data } of chunks) {
    view.setUint32(at, data.length);
    for (let index = 0; index < 4; index++) bytes[at + 4 + index] = kind.charCodeAt(index);
    bytes.set(data, at + 8);
    view.setUint32(at + 8 + data.length, crc32(bytes.subarray(at + 4, at + 8 + data.length)));
    at += 12 + data.length;
  }
  return bytes;
}

/** Return bytes as a zlib stream that stores them as they are. @param {Uint8Array} data @returns {Uint8Array} */
export function storeZlib(data) {
  const blocks = Math.max(1, Math.ceil(data.length / STORED_BLOCK));
  const stream = new Uint8Array(2 + 5 * blocks + data.length + 4);
  const view = new DataView(stream.buffer);
  view.setUint16(0, 0x7801);
  let at = 2;
  for (let block = 0; block < blocks; block++) {
    const part = data.subarray(block * STORED_BLOCK, (block + 1) * STORED_BLOCK);
    stream[at] = block === blocks - 1 ? 1 : 0;
    view.setUint16(at + 1, part.length, true);
    view.setUint16(at + 3, ~part.length & 0xffff, true);
    stream.set(part, at + 5);
    at += 5 + part.length;
  }
  view.setUint32(at, adler32(data));
  return stream;
}

/**
 * Return opaque pixels as a PNG file.
 * @param {Uint8Array} rgb rows of interleaved channels
 * @param {number} width
 * @param {number} height
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodePng(rgb, width, height) {
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, 2, 0, 0, 0], 8); // 8 bits, RGB
  const rows = new Uint8Array(height * (1 + 3 * width)); // each begins with its filter: none
  for (let row = 0; row < height; row++)
    rows.set(rgb.subarray(row * 3 * width, (row + 1) * 3 * width), row * (1 + 3 * width) + 1);
  return writeChunks([
    { kind: 'IHDR', data: header },
    { kind: 'IDAT', data: storeZlib(rows) },
    { kind: 'IEND', data: new Uint8Array() },
  ]);
}
