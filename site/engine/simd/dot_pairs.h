// Dot products of relaxed SIMD on x86 without VNNI: of bytes, 2 products per 16-bit lane, which saturates: see
// quantization/accumulation.h.
#pragma once

#include "simd/isa.h"
#include "simd/relaxed.h"

typedef uint8_t Act;
typedef int8_t Weight;
enum { INT8_OPERANDS = 1 };

INLINE V dot(V weights, V acts, V sum) { return dot_int16(relaxed_dot_pairs(weights, acts), wasm_i16x8_splat(1), sum); }

INLINE ActType detect_act_type(void) {
  volatile int8_t max = 64, all_bits = -1;  // volatile: the compiler must not compute it itself
  const V sum = relaxed_dot_pairs(wasm_i8x16_splat(max), wasm_i8x16_splat(all_bits));
  return wasm_i16x8_extract_lane(sum, 0) == 2 * 64 * 255 ? ACT_UINT8 : ACT_UNKNOWN;
}
