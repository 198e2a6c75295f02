// The vector type and the few operations that all kernels share. Everything rounds to nearest, ties to even, and no
// product is fused with a sum: every build gives the same bits.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

typedef v128_t V;

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("unroll")
#define EXPORT(name) __attribute__((export_name(#name)))

#ifdef __wasm_relaxed_simd__
#define vmin wasm_f32x4_relaxed_min
#define vmax wasm_f32x4_relaxed_max
#else
#define vmin wasm_f32x4_pmin
#define vmax wasm_f32x4_pmax
#endif

INLINE V load(const void *at) { return wasm_v128_load(at); }
INLINE void store(void *at, V x) { wasm_v128_store(at, x); }
INLINE V splat(float x) { return wasm_f32x4_splat(x); }
INLINE V add(V a, V b) { return wasm_f32x4_add(a, b); }
INLINE V sub(V a, V b) { return wasm_f32x4_sub(a, b); }
INLINE V mul(V a, V b) { return wasm_f32x4_mul(a, b); }

INLINE float sum_lanes(V x) {
  x = add(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
  x = add(x, wasm_i32x4_shuffle(x, x, 1, 0, 3, 2));
  return wasm_f32x4_extract_lane(x, 0);
}

INLINE float max_lanes(V x) {
  x = vmax(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
  x = vmax(x, wasm_i32x4_shuffle(x, x, 1, 0, 3, 2));
  return wasm_f32x4_extract_lane(x, 0);
}

// Round floats of less than 2^22 to the nearest int32: adding 1.5 · 2^23 leaves it in the low bits.
INLINE V round_to_int32(V x) {
  const V magic = splat(12582912.0f);
  return wasm_i32x4_sub(add(x, magic), magic);
}

// Add the sums of 2 products of 16-bit integers per lane.
INLINE V dot_int16(V weights, V acts, V sum) { return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(weights, acts)); }

INLINE int round_up(int count, int multiple) { return (count + multiple - 1) / multiple * multiple; }
