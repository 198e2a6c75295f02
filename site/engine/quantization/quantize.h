// Activations from floats to the integers of the dot instruction, in rows of four.
#pragma once

#include "quantization/qparams.h"

// The largest magnitude of `count` floats, a multiple of 4.
float absmax(const float *x, int count);

// The scale at which a magnitude becomes `qmax`; never so small that its inverse is infinite.
INLINE float dynamic_scale(float magnitude, float qmax) {
  return (magnitude > 0x1p-110f ? magnitude : 0x1p-110f) / qmax;
}

// What a row was quantized with: x = (q - zero_point) · scale.
typedef struct {
  float scale;
  int32_t zero_point;
} RowQParams;

// What four rows are to be quantized with; zero points are those of bytes.
typedef struct {
  const QParams *params;
  float inverse_scale[ROWS];
  int zero_point[ROWS];
} RowQuantizers;

// Quantize four rows of `width` floats (a multiple of 4), `stride` apart, to `width` rounded up to PAD activations of
// the build's type or, where `int16` says so, 16-bit integers; what is added are zeros. All are clamped unless the
// scales were found so that none is out of range (`in_range`).
void quantize_rows_with(int int16, int in_range, const float *x, size_t stride, int width, const RowQuantizers *rows,
                        void *to);

// The same with scales and zero points that are found from the rows where `params` say so.
void quantize_rows(int int16, const float *x, size_t stride, int width, const QParams *params, void *to,
                   RowQParams found[ROWS]);
