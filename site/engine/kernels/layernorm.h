// LayerNorm over a row.
#pragma once

#include "simd/simd.h"

typedef struct {
  float *gamma, *beta;
  float epsilon;
} LayerNorm;

// y = (x - mean) / sqrt(variance + epsilon) · gamma + beta; `width` is a multiple of 4, y may be x.
void layernorm(const LayerNorm *norm, const float *x, int width, float *y);

// The same for four rows, one after the other.
void layernorm_rows(const LayerNorm *norm, const float *x, int width, float *y);
