/** What the page, the engine in C and the converter agree on, from the one file that says it. */

import contract from '../../../engine/contract.json' with { type: 'json' };

export const { format: FORMAT, version: VERSION, description: FIELDS } = contract;
export const MAX_THREADS = contract.limits.max_threads.value;
/** What the engine's faults mean, by its numbers. */
export const FAULTS = contract.faults.map(({ message }) => message);
/** Bits of the floats that a tensor may hold, by its type in the file. @type {Record<string, number>} */
export const FLOAT_BITS = Object.fromEntries(
  Object.entries(contract.float_bits).map(([type, { value }]) => [type, value]),
);

/** The FNV-1a hash of the contract, which an engine made from the same one gives too. */
export const FINGERPRINT = [...JSON.stringify(contract)].reduce(
  (hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 0x01000193) >>> 0,
  0x811c9dc5,
);
