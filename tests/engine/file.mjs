/** A file of our engine taken apart, to be put together again otherwise. */

import { readSafetensors } from '../../site/js/common/safetensors.js';

/** @typedef {import('../../site/js/common/safetensors.js').Tensor} Tensor */

/**
 * What a file says: `plan` is its metadata's of that name.
 * @typedef {{metadata: Record<string, any>, plan: any, tensors: Map<string, Tensor>}} Parts
 */

/** @param {Uint8Array} file @returns {Parts} */
export function takeApart(file) {
  const { metadata, tensors } = readSafetensors(file);
  return { metadata, plan: JSON.parse(metadata.plan), tensors: new Map(tensors) };
}

/** @param {Parts} parts @returns {Uint8Array<ArrayBuffer>} */
export function putTogether({ metadata, plan, tensors }) {
  /** @type {Record<string, unknown>} */
  const header = { __metadata__: { ...metadata, plan: typeof plan === 'string' ? plan : JSON.stringify(plan) } };
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.byteLength] };
    end += bytes.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(BigUint64Array.of(BigInt(text.length)).buffer);
  return new Uint8Array(Buffer.concat([length, text, ...[...tensors.values()].map(({ bytes }) => bytes)]));
}
