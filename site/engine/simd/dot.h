// The dot product of the build's instruction set, and that of a tile: 4 rows of activations times 8 columns of weights.
// Whether operands are bytes or 16-bit integers, a step takes 4 bytes of each row and of each column, which lie
// together: GROUP neighbours.
#pragma once

#include "simd/isa.h"

#if ISA == ISA_PLAIN
#include "simd/dot_plain.h"
#elif ISA == ISA_RELAXED
#include "simd/dot_relaxed.h"
#else
#include "simd/dot_pairs.h"
#endif

enum {
  ROWS = 4,                                  // of activations, in a tile
  COLUMNS = 8,                               // of weights, which are output channels, in a tile
  PAD = 8,                                   // in memory, the dimension that is summed over is a multiple of this
  GROUP = sizeof(int32_t) / sizeof(Weight),  // neighbouring weights of a column, which lie side by side
  INT16_GROUP = sizeof(int32_t) / sizeof(int16_t),
};

// Activations lie in [length / group][4 rows][group].
typedef struct {
  int32_t row[ROWS];
} ActStep;

// Weights lie in [length / group][8 columns][group] for every 8 columns.
typedef struct {
  V left, right;
} WeightStep;

// Where the weight of a column at place k lies.
INLINE size_t weight_index(int group, int column, int k, int length) {
  return ((size_t)(column / COLUMNS) * length + k / group * group) * COLUMNS + column % COLUMNS * group + k % group;
}

// Add to the sums; operands are 16-bit integers where `int16` says so, otherwise the build's own.
INLINE void dot_tile(int int16, const void *acts, const void *weights, int steps, V sums[ROWS][2]) {
  const WeightStep *w = weights;
  for (const ActStep *a = acts, *end = a + steps; a < end; a++, w++) {
    const V left = load(&w->left), right = load(&w->right);
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V x = wasm_v128_load32_splat(a->row + i);
      sums[i][0] = int16 ? dot_int16(left, x, sums[i][0]) : dot(left, x, sums[i][0]);
      sums[i][1] = int16 ? dot_int16(right, x, sums[i][1]) : dot(right, x, sums[i][1]);
    }
  }
}

#if ISA == ISA_PAIRS

enum { INT16_STEPS = 4 };  // that are summed in 16 bits

INLINE void add_pairs(const ActStep *a, const WeightStep *w, int first, V sums[ROWS][2]) {
  const V left = load(&w->left), right = load(&w->right);
  UNROLL for (int i = 0; i < ROWS; i++) {
    const V x = wasm_v128_load32_splat(a->row + i);
    const V l = relaxed_dot_pairs(left, x), r = relaxed_dot_pairs(right, x);
    sums[i][0] = first ? l : wasm_i16x8_add(sums[i][0], l), sums[i][1] = first ? r : wasm_i16x8_add(sums[i][1], r);
  }
}

// `x`, of which the compiler knows nothing.
INLINE int opaque(int x) {
  __asm__("" : "+r"(x));
  return x;
}

// Add to the sums of bytes, by way of 16-bit ones where the weights' accumulation depth allows it.
INLINE void dot_tile_in_depth(int depth, const void *acts, const void *weights, int steps, V sums[ROWS][2]) {
  const V ones = wasm_i16x8_splat(1);
  const int known = opaque(depth);
  const ActStep *a = acts;
  const WeightStep *w = weights;
  for (; depth >= INT16_STEPS && steps >= INT16_STEPS; steps -= INT16_STEPS, a += INT16_STEPS, w += INT16_STEPS) {
    V int16_sums[ROWS][2];
    add_pairs(a, w, 1, int16_sums);
    // All are done. V8 does a branch's loads first: without branches, those of all steps, more than it has registers.
    if (known != 1) add_pairs(a + 1, w + 1, 0, int16_sums);
    if (known != 2) add_pairs(a + 2, w + 2, 0, int16_sums);
    if (known != 3) add_pairs(a + 3, w + 3, 0, int16_sums);
    UNROLL for (int i = 0; i < ROWS; i++) {
      sums[i][0] = dot_int16(int16_sums[i][0], ones, sums[i][0]);
      sums[i][1] = dot_int16(int16_sums[i][1], ones, sums[i][1]);
    }
  }
  dot_tile(0, a, w, steps, sums);
}

#else

INLINE void dot_tile_in_depth(int depth, const void *acts, const void *weights, int steps, V sums[ROWS][2]) {
  (void)depth;
  dot_tile(0, acts, weights, steps, sums);
}

#endif
