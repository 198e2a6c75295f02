// What a dot instruction multiplies: activations (from float, at run time) and weights (from the file, or keys and
// values). A relaxed build sums 4 products of bytes per lane, a plain one 2 products of 16-bit integers. Tests emulate
// the instruction of machines other than theirs: EMULATED_DOT is then its Dot.
#pragma once

#include "simd.h"

#if defined(__wasm_relaxed_simd__) || defined(EMULATED_DOT)
#define BYTES
#endif

#ifdef BYTES
typedef uint8_t Act;
typedef int8_t Weight;
enum { GROUP = 4 };  // products that one instruction sums per lane
#else
typedef int16_t Act;
typedef int16_t Weight;
enum { GROUP = 2 };
#endif

enum {
  ROWS = 4,     // rows of activations that a tile has
  COLUMNS = 8,  // outputs that a tile has
  PAD = 8,      // lengths of sums are multiples of this, in memory
};

// How the relaxed instruction takes its second operand, the activation; the standard leaves all but 7 bits open. What
// else there is (x86 without VNNI saturates) does not multiply 8 bits exactly; the plain build then is as fast.
typedef enum {
  DOT_NONE,      // there is no such instruction in this build
  DOT_UNSIGNED,  // as bytes 0 … 255 (x86 with VNNI)
  DOT_SIGNED,    // as bytes -128 … 127 (ARM)
  DOT_OTHER,
} Dot;

extern Dot dot_kind;

// Integer levels low … high of a float: level = clamp(round(x / scale)). A scale of 0 is found from the largest
// magnitude of a row; one below 0 from a row's least and greatest value, which then are at most `high` levels apart.
typedef struct {
  float scale, low, high;
} Quantizer;

// A quantizer as this machine's dot instruction takes it: an operand is level + offset, which a row whose range is
// found at run time chooses itself, so that its least level becomes `offset`.
typedef struct {
  float scale, low, high;
  int offset;
} Operand;

// What the instruction finds: 127 · 255, taken as unsigned, as signed, or saturated.
Dot probe_dot(void);
Operand to_operand(Quantizer quantizer);

// The same for what takes the weight's place, which holds -128 … 127 in a relaxed build.
Operand to_weight(Quantizer quantizer);

#ifdef EMULATED_DOT
INLINE V widened(V bytes, int low, int is_signed) {
  if (is_signed) return low ? wasm_i16x8_extend_low_i8x16(bytes) : wasm_i16x8_extend_high_i8x16(bytes);
  return low ? wasm_u16x8_extend_low_u8x16(bytes) : wasm_u16x8_extend_high_u8x16(bytes);
}

INLINE V DOT(V weights, V acts, V sum) {
  const int is_signed = EMULATED_DOT == DOT_SIGNED;
  const V low = wasm_i32x4_dot_i16x8(widened(weights, 1, 1), widened(acts, 1, is_signed));
  const V high = wasm_i32x4_dot_i16x8(widened(weights, 0, 1), widened(acts, 0, is_signed));
  const V even = wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), odd = wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
  return wasm_i32x4_add(sum, wasm_i32x4_add(even, odd));
}
#elif defined(__wasm_relaxed_simd__)
#define DOT(weights, acts, sum) wasm_i32x4_relaxed_dot_i8x16_i7x16_add(weights, acts, sum)
#else
#define DOT(weights, acts, sum) wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(weights, acts))
#endif

// Add to a tile of 4 rows and 8 columns. Weights lie as [length / GROUP][8 columns][GROUP], length a multiple of PAD.
INLINE void dot_tile(const Act *acts, size_t stride, const Weight *weights, int length, V sums[ROWS][2]) {
  const Act *second = acts + stride, *third = second + stride, *fourth = third + stride;
  for (int k = 0; k < length; k += GROUP, weights += COLUMNS * GROUP) {
    const V left = load(weights), right = load(weights + COLUMNS * GROUP / 2);
    V x = wasm_v128_load32_splat(acts + k);
    sums[0][0] = DOT(left, x, sums[0][0]), sums[0][1] = DOT(right, x, sums[0][1]);
    x = wasm_v128_load32_splat(second + k);
    sums[1][0] = DOT(left, x, sums[1][0]), sums[1][1] = DOT(right, x, sums[1][1]);
    x = wasm_v128_load32_splat(third + k);
    sums[2][0] = DOT(left, x, sums[2][0]), sums[2][1] = DOT(right, x, sums[2][1]);
    x = wasm_v128_load32_splat(fourth + k);
    sums[3][0] = DOT(left, x, sums[3][0]), sums[3][1] = DOT(right, x, sums[3][1]);
  }
}

// Where the weight of an output column at place k lies.
INLINE size_t weight_place(int column, int k, int length) {
  return ((size_t)(column / COLUMNS) * length + k / GROUP * GROUP) * COLUMNS + column % COLUMNS * GROUP + k % GROUP;
}
