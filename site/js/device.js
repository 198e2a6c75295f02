/** What the device and the browser are, as far as they tell. */

/** One function that uses i8x16.splat: the smallest module that needs SIMD. */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
/** One function that uses i8x16.relaxed_swizzle. */
const RELAXED_SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 14, 1, 12, 0, 65, 0, 253, 15, 65, 0, 253, 15, 253,
  128, 2, 11,
];

/** Whether WebAssembly has SIMD here. @returns {boolean} */
export function hasSimd() {
  return validates(SIMD);
}

/** Whether WebAssembly has relaxed SIMD here. @returns {boolean} */
export function hasRelaxedSimd() {
  return validates(RELAXED_SIMD);
}

/** @param {number[]} bytes @returns {boolean} */
function validates(bytes) {
  return typeof WebAssembly === 'object' && WebAssembly.validate(new Uint8Array(bytes));
}
