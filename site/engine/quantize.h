// Floats to operands of the dot instruction.
#pragma once

#include "operands.h"

// Largest magnitude of `count` floats, a multiple of 4.
float largest(const float *x, int count);

// The scale at which a magnitude is the greatest level; never so small that its inverse is infinite.
INLINE float dynamic_scale(float magnitude, float greatest) {
  return (magnitude > 0x1p-118f ? magnitude : 0x1p-118f) / greatest;
}

// Eight levels (int32) as operands.
INLINE void store_operands(Act *to, V low, V high, int offset) {
  const V levels = wasm_i16x8_narrow_i32x4(low, high);
#ifdef BYTES
  // Signed bytes are unsigned ones with the top bit turned.
  const int turned = dot_kind == DOT_SIGNED ? 128 : 0;
  const V moved = wasm_i16x8_add(levels, wasm_i16x8_splat((int16_t)(offset + turned)));
  wasm_v128_store64_lane(to, wasm_v128_xor(wasm_u8x16_narrow_i16x8(moved, moved), wasm_i8x16_splat((int8_t)turned)), 0);
#else
  (void)offset;
  store(to, levels);
#endif
}

// What a row was quantized with: value = (operand - offset) · scale.
typedef struct {
  float scale;
  int32_t offset;
} RowScale;

// Quantize a row of `width` floats (a multiple of 4) to `width` rounded up to PAD.
RowScale quantize_row(const float *x, int width, const Operand *operand, Act *to);

// As above for rows that are `stride` floats apart; `to` has them without gaps.
void quantize_rows(const float *x, size_t stride, int rows, int width, const Operand *operand, Act *to,
                   RowScale *scales);
