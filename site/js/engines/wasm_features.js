/** What of WebAssembly this browser and its processor have; each is found out by a tiny module. */

/** One function that uses i8x16.splat: the smallest module that needs SIMD. */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
/** One function that uses i8x16.relaxed_swizzle. */
const RELAXED_SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 0, 253, 15, 65, 0, 253, 15,
  253, 128, 2, 11,
];

/** One function (i32, i32) → i32, named p: the first lane of i32x4.relaxed_dot_i8x16_i7x16_add_s of splats, and 0. */
const RELAXED_DOT = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 112, 0, 0, 10, 36, 1, 34, 0,
  32, 0, 253, 15, 32, 1, 253, 15, 253, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 253, 147, 2, 253, 27, 0, 11,
];
/** As above: the first lane of i16x8.relaxed_dot_i8x16_i7x16_s of splats. */
const PAIR_DOT = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 112, 0, 0, 10, 18, 1, 16, 0,
  32, 0, 253, 15, 32, 1, 253, 15, 253, 146, 2, 253, 24, 0, 11,
];
/** What RELAXED_DOT may give of 127 and 255 (or -1): the standard leaves open whether the second operand has a sign. */
const EXACT_DOTS = [4 * 127 * 255, 4 * 127 * -1];

/** Whether WebAssembly has SIMD here. @returns {boolean} */
export function hasSimd() {
  return validates(SIMD);
}

/** Whether WebAssembly has relaxed SIMD here. @returns {boolean} */
export function hasRelaxedSimd() {
  return validates(RELAXED_SIMD);
}

/**
 * Whether the relaxed dot product of bytes takes all 8 bits of both operands, as with VNNI on x86 and on ARM. Elsewhere
 * it saturates.
 * @returns {boolean}
 */
export function hasByteDot() {
  return hasRelaxedSimd() && EXACT_DOTS.includes(evaluate(RELAXED_DOT, 127, -1));
}

/**
 * Whether there is an instruction that sums two products of bytes, unsigned times signed, in 16 bits, as on x86.
 * @returns {boolean}
 */
export function hasPairDot() {
  return hasRelaxedSimd() && evaluate(PAIR_DOT, 64, -1) === 2 * 64 * 255;
}

/**
 * Whether memory can be shared with workers. WebKitGTK refuses unless it is told otherwise, and so do browsers inside
 * other applications, in isolated pages too. Only sending it tells: such memory can be made everywhere.
 * @returns {boolean}
 */
export function sharesMemory() {
  const { port1, port2 } = new MessageChannel();
  try {
    port1.postMessage(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
    return true;
  } catch {
    return false;
  } finally {
    port1.close();
    port2.close();
  }
}

/**
 * Return what the module's function p gives.
 * @param {number[]} bytes
 * @param {number} weight
 * @param {number} act
 */
function evaluate(bytes, weight, act) {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes)));
  return /** @type {(weight: number, act: number) => number} */ (exports.p)(weight, act);
}

/** @param {number[]} bytes @returns {boolean} */
function validates(bytes) {
  return typeof WebAssembly === 'object' && WebAssembly.validate(new Uint8Array(bytes));
}
