import assert from 'node:assert/strict';
import test from 'node:test';
import { constants, deflateSync, inflateSync } from 'node:zlib';
import { inflate } from '../../site/js/worker/image/formats/inflate.js';
import { continueJpeg, endJpeg, rowsThere } from '../../site/js/worker/image/formats/jpeg.js';
import { storeZlib } from '../../site/js/worker/image/formats/png.js';
import { inspect, MAX_PIXELS, noticesOf, overWhite, sniff } from '../../site/js/worker/image/inspect.js';
import { takeOrientation, turn } from '../../site/js/worker/image/orientation.js';
import { rewrite } from '../../site/js/worker/image/rewrite.js';

/**
 * Bytes from numbers, strings (a character a byte) and other bytes.
 * @param {...(number | string | Uint8Array)} parts
 * @returns {Uint8Array<ArrayBuffer>}
 */
function bytes(...parts) {
  return Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === 'number' ? [part] : typeof part === 'string' ? [...Buffer.from(part, 'latin1')] : [...part],
    ),
  );
}
/** @param {number} value */
const be16 = (value) => bytes(value >> 8, value & 255);
/** @param {number} value */
const le16 = (value) => bytes(value & 255, value >> 8);
/** @param {number} value */
const be32 = (value) => bytes(be16(value >>> 16), be16(value & 0xffff));
/** @param {number} value */
const le32 = (value) => be32(value).reverse();

/** @param {string} kind @param {Uint8Array} [data] */
const chunk = (kind, data = bytes()) => bytes(be32(data.length), kind, data, 'CRC!');
/** @param {{width?: number, height?: number, bits?: number, colour?: number, more?: Uint8Array}} [options] */
const png = ({ width = 5, height = 4, bits = 8, colour = 2, more = bytes() } = {}) =>
  bytes(
    '\x89PNG\r\n\x1a\n',
    chunk('IHDR', bytes(be32(width), be32(height), bits, colour, 0, 0, 0)),
    more,
    chunk('IDAT', bytes('data')),
    chunk('IEND'),
  );
/** @param {number} components @param {number} [bits] */
const jpeg = (components, bits = 8) =>
  bytes(
    '\xff\xd8\xff\xe0',
    be16(4),
    'JF',
    '\xff\xff\xc4',
    be16(3),
    0,
    '\xff\xc2',
    be16(8 + 3 * components),
    bits,
    be16(4),
    be16(5),
    components,
    new Uint8Array(3 * components),
    '\xff\xda',
    be16(3),
    0,
    'scan\xff\x00\xff\xd0more',
    '\xff\xd9',
  );
/** @param {number} frames @param {boolean} [transparent] */
function gif(frames, transparent = false) {
  const frame = bytes(
    '\x21\xf9\x04',
    transparent ? 1 : 0,
    le16(5),
    0,
    0,
    '\x2c',
    le16(0),
    le16(0),
    le16(5),
    le16(4),
    0,
    2,
    3,
    'lzw',
    0,
  );
  return bytes(
    'GIF89a',
    le16(5),
    le16(4),
    0x80,
    0,
    0,
    new Uint8Array(6),
    ...Array.from({ length: frames }, () => frame),
    0x3b,
  );
}
/** @param {string} kind @param {Uint8Array} data */
const webp = (kind, data) => bytes('RIFF', le32(12 + data.length), 'WEBP', kind, le32(data.length), data);
/** @param {number} bits @param {number} height */
const bmp = (bits, height) =>
  bytes(
    'BM',
    le32(54 + 4 * 8),
    le32(0),
    le32(54),
    le32(40),
    le32(2),
    le32(height >>> 0),
    le16(1),
    le16(bits),
    new Uint8Array(24),
    new Uint8Array(32),
  );
/** @param {string} kind @param {...Uint8Array} parts */
const box = (kind, ...parts) => bytes(be32(8 + parts.reduce((sum, { length }) => sum + length, 0)), kind, ...parts);
/** @param {string} brand */
const avif = (brand) =>
  bytes(
    box('ftyp', bytes(brand, be32(0), 'mif1miafavif')),
    box(
      'meta',
      be32(0),
      box('ispe', be32(0), be32(2), be32(2)),
      box('ispe', be32(0), be32(5), be32(4)),
      box('pixi', be32(0), bytes(3, 10, 10, 10)),
      bytes('urn:mpeg:mpegB:cicp:systems:auxiliary:alpha'),
    ),
    box('mdat', bytes('data')),
  );

const PLAIN = { width: 5, height: 4, bits: 8, alpha: false, animated: false, cmyk: false, truncated: false };

/** @type {[string, Uint8Array, object][]} */
const FILES = [
  ['PNG', png(), { type: 'image/png' }],
  ['PNG with alpha', png({ colour: 6 }), { type: 'image/png', alpha: true }],
  [
    'PNG with a transparent colour',
    png({ colour: 3, bits: 4, more: chunk('tRNS', bytes(0)) }),
    { type: 'image/png', alpha: true },
  ],
  ['16-bit PNG', png({ bits: 16 }), { type: 'image/png', bits: 16 }],
  ['animated PNG', png({ more: chunk('acTL', bytes(be32(2), be32(0))) }), { type: 'image/png', animated: true }],
  ['progressive JPEG', jpeg(3), { type: 'image/jpeg' }],
  ['CMYK JPEG', jpeg(4), { type: 'image/jpeg', cmyk: true }],
  ['12-bit JPEG', jpeg(1, 12), { type: 'image/jpeg', bits: 12 }],
  ['GIF', gif(1), { type: 'image/gif' }],
  ['transparent GIF', gif(1, true), { type: 'image/gif', alpha: true }],
  ['animated GIF', gif(3), { type: 'image/gif', animated: true }],
  ['lossy WebP', webp('VP8 ', bytes(0, 0, 0, '\x9d\x01\x2a', le16(5), le16(4 | 0x4000))), { type: 'image/webp' }],
  ['lossless WebP', webp('VP8L', bytes(0x2f, le32(4 | (3 << 14) | (1 << 28)))), { type: 'image/webp', alpha: true }],
  [
    'animated WebP',
    webp('VP8X', bytes(0x12, 0, 0, 0, 4, 0, 0, 3, 0, 0)),
    { type: 'image/webp', alpha: true, animated: true },
  ],
  ['BMP', bmp(24, 4), { type: 'image/bmp', width: 2 }],
  ['BMP from the top', bmp(32, -4), { type: 'image/bmp', width: 2, alpha: true }],
  ['AVIF', avif('avif'), { type: 'image/avif', bits: 10, alpha: true }],
  ['AVIF sequence', avif('avis'), { type: 'image/avif', bits: 10, alpha: true, animated: true }],
];

for (const [name, file, expected] of FILES) {
  test(`${name} is recognised by its bytes; cut short it is damaged`, () => {
    const { frame, ...info } = /** @type {import('../../site/js/worker/image/inspect.js').ImageInfo} */ (sniff(file));
    assert.deepEqual(info, { ...PLAIN, ...expected });
    assert.equal(frame !== undefined, name.includes('GIF'));
    for (const keep of [0.97, 0.5, 0.3]) {
      const cut = Uint8Array.from(file.subarray(0, Math.floor(file.length * keep)));
      if (name.includes('GIF') && (keep > 0.9 || info.animated)) continue; // its first frame is there
      if (keep > 0.9 && /PNG|JPEG/.test(name)) {
        assert.equal(inspect(cut).truncated, true); // only an end mark is gone: it is used
        continue;
      }
      assert.throws(
        () => rewrite(cut, inspect(cut)),
        { code: /damaged_image|not_an_image/ },
        `${name} cut to ${cut.length} of ${file.length} bytes`,
      );
    }
  });
}

test('what is no image is rejected, and known kinds get their own advice', () => {
  assert.throws(() => inspect(bytes()), { code: 'empty_file' });
  assert.throws(() => inspect(bytes('hello')), { code: 'not_an_image' });
  assert.throws(() => inspect(bytes('BMX is a sport, and this text is long enough for a header')), {
    code: 'not_an_image',
  });
  assert.throws(() => inspect(bytes('<!doctype html><img>')), { code: 'not_an_image', message: /web page/ });
  assert.throws(() => inspect(bytes('<?xml version="1.0"?>\n<svg/>')), {
    code: 'not_an_image',
    message: /SVG/,
    hint: /PNG/,
  });
  assert.throws(() => inspect(bytes('%PDF-1.7')), { code: 'not_an_image', message: /PDF/ });
  assert.throws(() => inspect(box('ftyp', bytes('heic', be32(0), 'mif1heic'))), {
    code: 'not_an_image',
    message: /HEIC/,
    hint: /JPEG/,
  });
});

test('files that lead elsewhere are named', () => {
  for (const [begin, name] of [
    ['[InternetShortcut]\r\nURL=https://example.org/a.png', 'a shortcut'],
    ['[Desktop Entry]\nType=Link', 'a shortcut'],
    ['L\0\0\0\x01\x14\x02\0\0\0\0\0', 'a shortcut'],
    ['<?xml version="1.0"?>\n<!DOCTYPE plist>\n<plist version="1.0">', 'a shortcut'],
    ['version https://git-lfs.github.com/spec/v1\n', 'a Git LFS pointer'],
    ['PK\x03\x04 and more', 'an archive'],
    ['\0\0\0\x20ftypisom', 'a video'],
  ])
    assert.throws(() => inspect(bytes(begin)), { code: 'not_an_image', message: new RegExp(name), hint: /.{10}/ });
});

test('a GIF of which a later frame is cut off is whole; its first frame may lie beside the screen', () => {
  const two = gif(2);
  assert.deepEqual([inspect(two.subarray(0, two.length - 4)).animated, sniff(two)?.truncated], [true, false]);
  const moved = gif(1);
  const described = moved.indexOf(0x2c, 13);
  moved[described + 1] = 3;
  const { width, height, frame } = inspect(moved);
  assert.deepEqual(
    { width, height, frame },
    { width: 8, height: 4, frame: { at: described, left: 3, top: 0, width: 5, height: 4 } },
  );
  const { bytes: cut, canvas } = rewrite(moved, inspect(moved));
  assert.deepEqual([cut[6], cut[8], cut[described + 1], canvas], [5, 4, 0, { left: 3, top: 0, width: 8, height: 4 }]);
});

/** @param {'II' | 'MM'} order @param {number} orientation */
function exif(order, orientation) {
  const [short, long] = order === 'II' ? [le16, le32] : [be16, be32];
  const entry = bytes(short(0x0112), short(3), long(1), short(orientation), short(0));
  return bytes(
    order,
    short(42),
    long(8),
    short(2),
    short(0x0100),
    short(3),
    long(1),
    short(9),
    short(0),
    entry,
    long(0),
  );
}

test('the orientation is taken out of the file, whatever the format and the order of bytes', () => {
  const frame = bytes(0x2f, le32(4 | (3 << 14)));
  for (const order of /** @type {const} */ (['II', 'MM'])) {
    const data = exif(order, 6);
    const segment = bytes('\xff\xe1', be16(8 + data.length), 'Exif\0\0', data);
    const files = {
      'image/jpeg': bytes(jpeg(3).subarray(0, 2), segment, jpeg(3).subarray(2)),
      'image/png': png({ more: chunk('eXIf', data) }),
      'image/webp': bytes('RIFF', le32(0), 'WEBPVP8L', le32(frame.length), frame, 0, 'EXIF', le32(data.length), data),
    };
    for (const [type, file] of Object.entries(files)) {
      const taken = takeOrientation(Uint8Array.from(file), type);
      assert.equal(taken.orientation, 6, type);
      assert.equal(takeOrientation(taken.bytes, type).orientation, 1, type);
    }
    assert.equal(takeOrientation(png({ more: chunk('eXIf', exif(order, 9)) }).slice(), 'image/png').orientation, 1);
  }
});

test('pixels are turned as EXIF defines it', () => {
  const pixel = /** @param {number} value */ (value) => [value, 0, 0, 255];
  const stored = { data: Uint8ClampedArray.from([1, 2, 3, 4, 5, 6].flatMap(pixel)), width: 3, height: 2 };
  const upright = {
    1: [3, 1, 2, 3, 4, 5, 6],
    2: [3, 3, 2, 1, 6, 5, 4],
    3: [3, 6, 5, 4, 3, 2, 1],
    4: [3, 4, 5, 6, 1, 2, 3],
    5: [2, 1, 4, 2, 5, 3, 6],
    6: [2, 4, 1, 5, 2, 6, 3],
    7: [2, 6, 3, 5, 2, 4, 1],
    8: [2, 3, 6, 2, 5, 1, 4],
  };
  for (const [orientation, expected] of Object.entries(upright)) {
    const { data, width } = turn(stored, Number(orientation));
    assert.deepEqual([width, ...data.filter((_, index) => index % 4 === 0)], expected, orientation);
  }
});

test('a stream that ends early is unpacked as far as it goes', () => {
  const text = Buffer.from(Array.from({ length: 3000 }, (_, index) => ((index * index) % 251) ^ (index % 7)));
  for (const options of [{ level: 9 }, { level: 1 }, { strategy: constants.Z_FIXED }, { level: 0 }]) {
    const stream = deflateSync(text, options);
    assert.deepEqual(Buffer.from(inflate(stream, text.length)), text);
    let before = 0;
    for (let length = 0; length <= stream.length; length += 97) {
      const found = inflate(stream.subarray(0, length), text.length);
      assert.deepEqual(Buffer.from(found), text.subarray(0, found.length));
      assert.ok(found.length >= before);
      before = found.length;
    }
    assert.equal(inflate(stream, 100).length, 100);
  }
  assert.throws(() => inflate(bytes('no zlib at all'), 10), { code: 'damaged_image' });
  assert.deepEqual(inflateSync(storeZlib(text)), text);
  assert.deepEqual(inflateSync(storeZlib(new Uint8Array(200_000))).length, 200_000);
});

test('a picture of 100 megapixels is rejected from its header alone', () => {
  assert.throws(() => inspect(png({ width: 10_000, height: 10_000 })), {
    code: 'image_too_large',
    message: /10000×10000.*100 megapixels.*64/,
  });
  // Rounded, its size would be the limit.
  assert.throws(() => inspect(png({ width: 8001, height: 8000 })), { message: /64\.008 megapixels; at most 64 / });
  assert.equal(inspect(png({ width: 8_000, height: MAX_PIXELS / 8_000 })).width, 8_000);
  assert.throws(() => inspect(png({ width: 0 })), { code: 'damaged_image' });
});

/** @param {number[]} greys of 2 columns each row */
function greyPixels(greys) {
  const data = Uint8ClampedArray.from(greys.flatMap((value) => Array(2).fill([value, value, value, 255]).flat()));
  return { data, width: 2, height: greys.length };
}

test('a JPEG file lacks the grey rows at its end that noise behind its data changes', async () => {
  const stored = greyPixels([9, 128, 128, 128]);
  const probe = /** @param {number[]} greys */ (greys) => async () => greyPixels(greys);
  assert.equal(await rowsThere(stored, false, probe([9, 128, 7, 8])), 2);
  assert.equal(await rowsThere(stored, false, probe([9, 128, 128, 128])), 4);
  assert.equal(await rowsThere(stored, false, async () => null), 1);
  assert.equal(await rowsThere(greyPixels([9, 64, 64]), true, probe([9, 7, 64])), 1);
  assert.equal(await rowsThere(greyPixels([9, 64, 64]), false, assert.fail), 3);
});

test('a JPEG file is continued with noise, and with the restart marks that follow its own', () => {
  const scan = bytes(0xff, 0xd8, 0xff, 0xda, be16(2), 1, 2, 0xff);
  assert.deepEqual([...endJpeg(scan)].slice(-3), [0xff, 0xff, 0xd9]);
  const noisy = continueJpeg(scan, 9);
  assert.equal(noisy.length, scan.length - 1 + 2 * 768 + 2);
  assert.deepEqual(continueJpeg(endJpeg(scan), 9), noisy);
  const marked = bytes(0xff, 0xd8, 0xff, 0xdd, be16(4), be16(1), 0xff, 0xda, be16(2), 1, 0xff, 0xd7, 2);
  const continued = continueJpeg(marked, 9);
  const marks = [...continued].flatMap((value, at) =>
    value === 0xff && at >= marked.length ? [continued[at + 1]] : [],
  );
  assert.deepEqual(marks, [0xd0, 0xd1, 0xd2, 0xd3, 0xd9]);
});

test('what was changed in reading is told', () => {
  const info = { ...PLAIN, type: 'image/png', missing: 0, turned: false };
  assert.deepEqual(noticesOf(info), []);
  assert.match(noticesOf({ ...info, truncated: true }).join(), /no end mark/);
  assert.match(noticesOf({ ...info, truncated: true, missing: 3 }).join(), /last 3 rows are missing/);
  assert.match(noticesOf({ ...info, turned: true }).join(), /turned upright/);
  const notices = noticesOf({ ...info, animated: true, bits: 16, cmyk: true });
  assert.equal(notices.length, 3);
  assert.match(notices.join(), /first frame.*16 bits.*CMYK/);
});

test('transparent pixels are put on white, opaque ones are left alone', () => {
  const pixels = Uint8ClampedArray.of(10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 128);
  assert.equal(overWhite(pixels), true);
  assert.deepEqual([...pixels], [10, 20, 30, 255, 255, 255, 255, 255, 127, 177, 255, 255]);
  assert.equal(overWhite(pixels), false);
});
