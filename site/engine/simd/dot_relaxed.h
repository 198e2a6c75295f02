// Dot products of relaxed SIMD with VNNI or on ARM: of bytes, 4 products per 32-bit lane.
#pragma once

#include "simd/isa.h"
#include "simd/relaxed.h"

typedef uint8_t Act;
typedef int8_t Weight;
enum { INT8_OPERANDS = 1 };

INLINE V dot(V weights, V acts, V sum) { return relaxed_dot_quads(weights, acts, sum); }

INLINE ActType detect_act_type(void) {
  volatile int8_t max = 127, all_bits = -1;  // volatile: the compiler must not compute it itself
  const V sum = relaxed_dot_quads(wasm_i8x16_splat(max), wasm_i8x16_splat(all_bits), wasm_i32x4_splat(0));
  const int lane = wasm_i32x4_extract_lane(sum, 0);
  return lane == 4 * 127 * 255 ? ACT_UINT8 : lane == 4 * 127 * -1 ? ACT_INT8 : ACT_UNKNOWN;
}
