// LayerNorm over a row.
#pragma once

#include "simd.h"

typedef struct {
  float *gamma, *beta;
  float epsilon;
} Norm;

// y = (x - mean) / sqrt(variance + epsilon) · gamma + beta; `width` is a multiple of 4, y may be x.
void layernorm(const Norm *norm, const float *x, int width, float *y);

// The same for four rows, one after the other.
void layernorm_four(const Norm *norm, const float *x, int width, float *y);
