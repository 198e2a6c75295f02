// Softmax with powers of two: the scores come multiplied by log2(e).
#pragma once

#include "simd/simd.h"

#define LOG2_E 1.44269504f

// 2^x for x of at most 0, exact at 0, else to 1e-4, hundredths of an 8-bit step; 0 within 2^-125 for all below.
INLINE V exp2_nonpositive(V x) {
  x = vmax(x, splat(-125));
  const V magic = splat(12582912.0f), moved = add(x, magic), f = sub(x, sub(moved, magic));
  V p = add(mul(f, splat(0.0550085679f)), splat(0.242210969f));
  p = add(mul(p, f), splat(0.693282962f));
  p = add(mul(p, f), splat(1));
  return wasm_i32x4_add(p, wasm_i32x4_shl(wasm_i32x4_sub(moved, magic), 23));
}

// Replace scores by 2^(score - max), softmax's numerators, and return their sum, its denominator. `count` is a multiple
// of 4.
float softmax_numerators(float *scores, int count);
