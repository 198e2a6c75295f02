/** Ways to spoil a file of our engine: its bytes, the header of its tensors, and the plan of the model; by a seed. */

/**
 * A file taken apart: what its header says, its plan, and the bytes of its tensors.
 * @typedef {{header: Record<string, any>, plan: any, data: Uint8Array}} Parts
 */

/** A generator of numbers of 0 to 1 (Mulberry32): every file can be made again from its number. @param {number} seed */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @typedef {ReturnType<typeof randomFrom>} Random */

/** @param {Random} random @param {number} count */
const below = (random, count) => Math.floor(random() * count);
/** @template T @param {Random} random @param {readonly T[]} values @returns {T} */
const pick = (random, values) => values[below(random, values.length)];

/** @param {Uint8Array} file @returns {Parts} */
export function partsOf(file) {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  return { header, plan: JSON.parse(header.__metadata__.plan), data: file.subarray(8 + length) };
}

/** @param {Parts} parts @returns {Uint8Array<ArrayBuffer>} */
export function fileOf({ header, plan, data }) {
  const metadata = { ...header.__metadata__, plan: JSON.stringify(plan) };
  return withHeader(new TextEncoder().encode(JSON.stringify({ ...header, __metadata__: metadata })), data);
}

/** @param {Uint8Array} text @param {Uint8Array} data @returns {Uint8Array<ArrayBuffer>} */
function withHeader(text, data) {
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

/** Values at which sizes go wrong, given the file's own. @param {Random} random @param {number} own */
function boundary(random, own) {
  const near = [own - 1, own + 1, own - 8, own + 8, own * 2, own / 2, 0, 1, -1, 7, 8, 9, 16, 63, 64, 65];
  const far = [2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 32, 2 ** 32 + own, 2 ** 53, 1e300, -own, own + 0.5, NaN];
  const none = [null, '8', [8], {}, true, ''];
  const within = [128, 255, 256, 1024, 1025]; // what the engine allows, and memory for it
  const large = [4096, 4097, 8192, 16384, 32768, 65536];
  const chance = random();
  if (chance < 0.002) return pick(random, large);
  if (chance < 0.01) return pick(random, within);
  return pick(random, chance < 0.6 ? near : chance < 0.85 ? far : none);
}

/** @type {((parts: Parts, random: Random) => unknown)[]} */
const STRUCTURE = [
  ({ plan }, random) => {
    const name = pick(random, Object.keys(plan.sizes));
    plan.sizes[name] = boundary(random, plan.sizes[name]);
  },
  ({ plan }, random) => delete plan.sizes[pick(random, Object.keys(plan.sizes))],
  ({ plan }, random) => {
    plan.tensors[below(random, plan.tensors.length)][1] = pick(random, [
      0,
      1,
      2,
      3,
      4,
      5,
      6,
      7,
      8,
      9,
      16,
      32,
      -1,
      2 ** 32 + 8,
      null,
    ]);
  },
  ({ plan }, random) => plan.tensors.splice(below(random, plan.tensors.length), 1),
  ({ plan }, random) => plan.tensors.splice(below(random, plan.tensors.length), 0, pick(random, plan.tensors)),
  ({ plan }, random) => {
    const [first, second] = [below(random, plan.tensors.length), below(random, plan.tensors.length)];
    [plan.tensors[first], plan.tensors[second]] = [plan.tensors[second], plan.tensors[first]];
  },
  ({ plan }, random) => {
    plan.run = pick(random, [0, 1, 4, 8, -1, 2 ** 31 - 1, 2 ** 40, 0.5, null]);
  },
  ({ header }, random) => {
    const { data_offsets: offsets } = header[tensorOf(header, random)];
    offsets[below(random, 2)] = boundary(random, offsets[below(random, 2)]);
  },
  ({ header }, random) => {
    const { shape } = header[tensorOf(header, random)];
    shape[below(random, Math.max(1, shape.length))] = boundary(random, shape[0] ?? 1);
  },
  ({ header }, random) => {
    header[tensorOf(header, random)].dtype = pick(random, [
      'U8',
      'I8',
      'F16',
      'BF16',
      'F32',
      'F64',
      'I64',
      'BOOL',
      'X',
      8,
    ]);
  },
  ({ header }, random) => {
    const [first, second] = [tensorOf(header, random), tensorOf(header, random)];
    [header[first], header[second]] = [header[second], header[first]];
  },
  ({ header }, random) => delete header[tensorOf(header, random)],
  ({ header }, random) => {
    const key = pick(random, ['format', 'schema_version', 'plan', 'other']);
    header.__metadata__[key] = pick(random, ['', '2', 'pt', 1, null, {}]);
  },
];

/** @param {Record<string, any>} header @param {Random} random */
const tensorOf = (header, random) =>
  pick(
    random,
    Object.keys(header).filter((name) => name !== '__metadata__'),
  );

/** @type {((file: Uint8Array<ArrayBuffer>, random: Random) => Uint8Array<ArrayBuffer>)[]} */
const BYTES = [
  (file, random) => {
    for (let flips = 1 + below(random, 8); flips > 0; flips--)
      file[below(random, file.length)] ^= 1 << below(random, 8);
    return file;
  },
  (file, random) => {
    const header = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
    file[below(random, Math.min(header, file.length))] = below(random, 256);
    return file;
  },
  (file, random) => file.slice(0, below(random, file.length)),
  (file, random) => {
    const longer = new Uint8Array(file.length + 1 + below(random, 64));
    longer.set(file);
    return longer;
  },
  (file, random) => {
    const values = [
      0n,
      1n,
      BigInt(file.length),
      BigInt(file.length - 8),
      BigInt(file.length - 7),
      2n ** 32n,
      2n ** 53n,
    ];
    new DataView(file.buffer).setBigUint64(0, pick(random, [...values, 2n ** 63n, 2n ** 64n - 1n]), true);
    return file;
  },
  (file, random) => {
    const from = below(random, file.length);
    file.copyWithin(below(random, file.length), from, Math.min(file.length, from + 1 + below(random, 256)));
    return file;
  },
  (file, random) => {
    const from = below(random, file.length);
    file.fill(pick(random, [0, 0x7f, 0x80, 0xff, 0x22, 0x5b]), from, from + 1 + below(random, 64));
    return file;
  },
];

/**
 * Return the spoilt file of a number: its structure, its bytes, or both, one to three times.
 * @param {Uint8Array<ArrayBuffer>} file
 * @param {number} seed
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function mutated(file, seed) {
  const random = randomFrom(seed);
  const structural = random() < 0.6;
  let made = structural ? withStructure(file, random) : file.slice();
  if (!structural || random() < 0.1) {
    for (let times = 1 + below(random, 2); times > 0 && made.length > 8; times--)
      made = pick(random, BYTES)(made, random);
  }
  return made;
}

/** @param {Uint8Array} file @param {Random} random */
function withStructure(file, random) {
  const parts = partsOf(file);
  for (let times = 1 + below(random, 3); times > 0; times--) {
    try {
      pick(random, STRUCTURE)(parts, random);
    } catch {
      // an earlier change has taken away what this one would have changed
    }
  }
  return fileOf(parts);
}
