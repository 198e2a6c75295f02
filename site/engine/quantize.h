// Floats to operands of the dot instruction.
#pragma once

#include "operands.h"

// Largest magnitude of `count` floats, a multiple of 4.
float largest(const float *x, int count);

// The scale at which a magnitude is the greatest level; never so small that its inverse is infinite.
INLINE float dynamic_scale(float magnitude, float greatest) {
  return (magnitude > 0x1p-110f ? magnitude : 0x1p-110f) / greatest;
}

// Four levels; they are clamped unless it is known that all are `within` the least and the greatest.
INLINE V levels_of(const float *x, V inverse, const Operand *operand, int within) {
  const V scaled = mul(load(x), inverse);
  return to_integers(within ? scaled : vmax(vmin(scaled, splat(operand->high)), splat(operand->low)));
}

// Eight levels (int32) at place k of a row of operands, which are `bytes` or 16-bit integers; these have no offset.
INLINE void store_operands(int bytes, void *row, int k, V low, V high, int offset) {
  V levels = wasm_i16x8_narrow_i32x4(low, high);
  Step *to = (Step *)row + k / (bytes ? 4 : 2);
  if (!bytes) {
    wasm_v128_store32_lane(to, levels, 0), wasm_v128_store32_lane(to + 1, levels, 1);
    wasm_v128_store32_lane(to + 2, levels, 2), wasm_v128_store32_lane(to + 3, levels, 3);
    return;
  }
  // Signed bytes are unsigned ones with the top bit turned.
  const int turned = dot_kind == DOT_SIGNED ? 128 : 0;
  levels = wasm_i16x8_add(levels, wasm_i16x8_splat((int16_t)(offset + turned)));
  levels = wasm_v128_xor(wasm_u8x16_narrow_i16x8(levels, levels), wasm_i8x16_splat((int8_t)turned));
  wasm_v128_store32_lane(to, levels, 0), wasm_v128_store32_lane(to + 1, levels, 1);
}

// What a row was quantized with: value = (operand - offset) · scale.
typedef struct {
  float scale;
  int32_t offset;
} RowScale;

// Quantize a row of `width` floats (a multiple of 4), zeros up to a multiple of PAD, as row `row` of the operands `acts`:
// as the build has them, or `wide`, as 16-bit integers.
RowScale quantize_row(int wide, const float *x, int width, const Operand *operand, int row, void *acts);
