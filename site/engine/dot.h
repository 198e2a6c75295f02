// Sums of products of a tile: 4 rows of activations times 8 columns of weights. Whether operands are bytes or 16-bit
// integers, a step takes 4 bytes of each row and of each column, which lie together: GROUP neighbours.
#pragma once

#include "operands.h"

INLINE V dot_words(V weights, V acts, V sum) { return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(weights, acts)); }

#ifdef EMULATED_DOT
INLINE V widened(V bytes, int low, int is_signed) {
  if (is_signed) return low ? wasm_i16x8_extend_low_i8x16(bytes) : wasm_i16x8_extend_high_i8x16(bytes);
  return low ? wasm_u16x8_extend_low_u8x16(bytes) : wasm_u16x8_extend_high_u8x16(bytes);
}

// Sums of two products, 4 lanes of the lower or upper half.
INLINE V dot_half(V weights, V acts, int low) {
  return wasm_i32x4_dot_i16x8(widened(weights, low, 1), widened(acts, low, EMULATED_DOT == DOT_SIGNED));
}

INLINE V dot_pairs(V weights, V acts) {
  return wasm_i16x8_narrow_i32x4(dot_half(weights, acts, 1), dot_half(weights, acts, 0));
}

#elif BYTES
INLINE V dot_pairs(V weights, V acts) { return wasm_i16x8_relaxed_dot_i8x16_i7x16(weights, acts); }
#endif

#ifdef PAIRS
INLINE V dot_bytes(V weights, V acts, V sum) { return dot_words(dot_pairs(weights, acts), wasm_i16x8_splat(1), sum); }
#elif defined(EMULATED_DOT)
INLINE V dot_bytes(V weights, V acts, V sum) {
  const V low = dot_half(weights, acts, 1), high = dot_half(weights, acts, 0);
  const V even = wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), odd = wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
  return wasm_i32x4_add(sum, wasm_i32x4_add(even, odd));
}
#elif BYTES
INLINE V dot_bytes(V weights, V acts, V sum) { return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(weights, acts, sum); }
#endif

INLINE V dot_one(int bytes, V weights, V acts, V sum) {
#if BYTES
  if (bytes) return dot_bytes(weights, acts, sum);
#endif
  (void)bytes;
  return dot_words(weights, acts, sum);
}

typedef struct {
  V left, right;
} WeightStep;

// Add to the sums; `bytes` says what the operands are.
INLINE void dot_tile(int bytes, const void *acts, const void *weights, int steps, V sums[ROWS][2]) {
  const WeightStep *w = weights;
  for (const Step *a = acts, *end = a + steps; a < end; a++, w++) {
    const V left = load(&w->left), right = load(&w->right);
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V x = wasm_v128_load32_splat(a->row + i);
      sums[i][0] = dot_one(bytes, left, x, sums[i][0]), sums[i][1] = dot_one(bytes, right, x, sums[i][1]);
    }
  }
}

#ifdef PAIRS
INLINE void pairs_step(const Step *a, const WeightStep *w, int first, V shorts[ROWS][2]) {
  const V left = load(&w->left), right = load(&w->right);
  UNROLL for (int i = 0; i < ROWS; i++) {
    const V x = wasm_v128_load32_splat(a->row + i), l = dot_pairs(left, x), r = dot_pairs(right, x);
    shorts[i][0] = first ? l : wasm_i16x8_add(shorts[i][0], l), shorts[i][1] = first ? r : wasm_i16x8_add(shorts[i][1], r);
  }
}

enum { TOGETHER = 4 };  // steps that are summed in 16 bits

// `x`, of which the compiler knows nothing.
INLINE int opaque(int x) {
  __asm__("" : "+r"(x));
  return x;
}

// Add to the sums of bytes, by way of 16-bit ones where the weights leave room for a `run` of so many steps.
INLINE void pairs_tile(int run, const void *acts, const void *weights, int steps, V sums[ROWS][2]) {
  const V ones = wasm_i16x8_splat(1);
  const int known = opaque(run);
  const Step *a = acts;
  const WeightStep *w = weights;
  for (; run >= TOGETHER && steps >= TOGETHER; steps -= TOGETHER, a += TOGETHER, w += TOGETHER) {
    V shorts[ROWS][2];
    pairs_step(a, w, 1, shorts);
    // All are done. V8 does a branch's loads first: without branches, those of all steps, more than it has registers.
    if (known != 1) pairs_step(a + 1, w + 1, 0, shorts);
    if (known != 2) pairs_step(a + 2, w + 2, 0, shorts);
    if (known != 3) pairs_step(a + 3, w + 3, 0, shorts);
    UNROLL for (int i = 0; i < ROWS; i++) {
      sums[i][0] = dot_words(shorts[i][0], ones, sums[i][0]);
      sums[i][1] = dot_words(shorts[i][1], ones, sums[i][1]);
    }
  }
  dot_tile(1, a, w, steps, sums);
}
#endif
