/**
 * How an AVIF file says that its picture is to be turned: by properties of its items, `irot` and `imir`, which not every
 * browser applies. Pure: no DOM.
 */

/** @typedef {{kind: string, view: DataView}} Box a box's contents */

/** EXIF's numbers by the turns to the left and the mirroring: none, up and down, left and right. */
const ORIENTATIONS = [
  [1, 4, 2],
  [8, 5, 7],
  [3, 2, 4],
  [6, 7, 5],
];

/**
 * Return the orientation as EXIF numbers it, and take it out of the file, in place.
 *
 * A sequence is left alone: its tracks have other properties.
 * @param {Uint8Array} bytes
 * @returns {number}
 */
export function takeAvifOrientation(bytes) {
  try {
    const file = boxesOf(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    const brand = find(file, 'ftyp')?.getUint32(0);
    const meta = find(file, 'meta');
    return meta && brand !== 0x61766973 ? takeFromItems(boxesOf(meta, 4)) : 1; // avis
  } catch (error) {
    if (error instanceof RangeError) return 1; // a box that ends early, as the decoder will find out
    throw error;
  }
}

/** @param {Box[]} meta @returns {number} */
function takeFromItems(meta) {
  const [primary, properties] = [find(meta, 'pitm'), find(meta, 'iprp')];
  if (!primary || !properties) return 1;
  const item = primary.getUint8(0) === 0 ? primary.getUint16(4) : primary.getUint32(4);
  const parts = boxesOf(properties);
  const container = find(parts, 'ipco');
  const turning = (container ? boxesOf(container) : []).map(({ kind, view }) => {
    if (kind === 'irot') return { left: view.getUint8(0) & 3 };
    return kind === 'imir' ? { mirror: 1 + (view.getUint8(0) & 1) } : null;
  });
  const found = { left: 0, mirror: 0 };
  for (const { view } of parts.filter(({ kind }) => kind === 'ipma'))
    takeAssociations(view, turning, (id, turn) => id === item && Object.assign(found, turn));
  return ORIENTATIONS[found.left][found.mirror];
}

/**
 * Let no item have a property that turns it: number 0 is none.
 * @param {DataView} view of the table that says which items have which properties
 * @param {({left: number} | {mirror: number} | null)[]} turning by the properties' numbers, less one
 * @param {(item: number, turn: {left: number} | {mirror: number}) => void} onTaken
 */
function takeAssociations(view, turning, onTaken) {
  const large = { id: view.getUint8(0) > 0, index: (view.getUint8(3) & 1) === 1 };
  let at = 8;
  for (let entries = view.getUint32(4); entries > 0; entries--) {
    const item = large.id ? view.getUint32(at) : view.getUint16(at);
    at += large.id ? 4 : 2;
    for (let count = view.getUint8(at++); count > 0; count--) {
      const number = large.index ? view.getUint16(at) & 0x7fff : view.getUint8(at) & 0x7f;
      const turn = turning[number - 1];
      if (turn) {
        onTaken(item, turn);
        if (large.index) view.setUint16(at, 0);
        else view.setUint8(at, 0);
      }
      at += large.index ? 2 : 1;
    }
  }
}

/** @param {DataView} view @param {number} [at] where the first box begins @returns {Box[]} */
function boxesOf(view, at = 0) {
  const boxes = [];
  while (at + 8 <= view.byteLength) {
    const length = view.getUint32(at) || view.byteLength - at;
    if (length < 8) break;
    const kind = String.fromCharCode(...[4, 5, 6, 7].map((place) => view.getUint8(at + place)));
    const end = Math.min(at + length, view.byteLength);
    boxes.push({ kind, view: new DataView(view.buffer, view.byteOffset + at + 8, end - at - 8) });
    at += length;
  }
  return boxes;
}

/** @param {Box[]} boxes @param {string} kind @returns {DataView | undefined} */
const find = (boxes, kind) => boxes.find((box) => box.kind === kind)?.view;
