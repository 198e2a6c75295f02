// Floats to operands of the dot instruction.
#pragma once

#include "operands.h"

// Largest magnitude of `count` floats, a multiple of 4.
float largest(const float *x, int count);

// The scale at which a magnitude is the greatest level; never so small that its inverse is infinite.
INLINE float dynamic_scale(float magnitude, float greatest) {
  return (magnitude > 0x1p-110f ? magnitude : 0x1p-110f) / greatest;
}

// How four rows are quantized: each with its own scale, and an offset for operands that are bytes.
typedef struct {
  const Operand *operand;
  float inverse[ROWS];  // 1 / scale
  int offset[ROWS];
} Four;

// Quantize four rows of floats, `stride` apart and a multiple of 4 wide, to `width` rounded up to PAD operands as the build
// has them, or `wide`, as 16-bit integers. Levels are clamped unless the scales were found so that all are `within` the
// least and the greatest.
void fill_four(int wide, int within, const float *x, size_t stride, int width, const Four *four, void *to);

// What a row was quantized with: value = (operand - offset) · scale.
typedef struct {
  float scale;
  int32_t offset;
} RowScale;

// Quantize four rows of `width` floats (a multiple of 4), `stride` apart, each zeros up to a multiple of PAD: to operands
// as the build has them, or `wide`, as 16-bit integers.
void quantize_four(int wide, const float *x, size_t stride, int width, const Operand *operand, void *to,
                   RowScale scales[ROWS]);
