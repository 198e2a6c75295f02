// The relaxed dot instructions as other machines have them, with plain SIMD. EMULATED_ACTS is how they take
// activations: ACT_INT8 or ACT_UINT8. The compiler is told to include this before everything else.
#pragma once

#include "simd/isa.h"
#include "simd/simd.h"

#define RELAXED_DOT_IS_EMULATED

INLINE V extend(V bytes, int low, int is_signed) {
  if (is_signed) return low ? wasm_i16x8_extend_low_i8x16(bytes) : wasm_i16x8_extend_high_i8x16(bytes);
  return low ? wasm_u16x8_extend_low_u8x16(bytes) : wasm_u16x8_extend_high_u8x16(bytes);
}

// Sums of two products, 4 lanes of the lower or upper half.
INLINE V dot_half(V weights, V acts, int low) {
  return wasm_i32x4_dot_i16x8(extend(weights, low, 1), extend(acts, low, EMULATED_ACTS == ACT_INT8));
}

INLINE V relaxed_dot_pairs(V weights, V acts) {
  return wasm_i16x8_narrow_i32x4(dot_half(weights, acts, 1), dot_half(weights, acts, 0));
}

INLINE V relaxed_dot_quads(V weights, V acts, V sum) {
  const V low = dot_half(weights, acts, 1), high = dot_half(weights, acts, 0);
  const V even = wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), odd = wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
  return wasm_i32x4_add(sum, wasm_i32x4_add(even, odd));
}
