#include "kernels/layernorm.h"

enum { MAX_ROWS = 4 };  // at once: sums of one row wait for each other

INLINE void normalize(const LayerNorm *norm, int rows, const float *x, int width, float *y) {
  V mean[MAX_ROWS], sums[MAX_ROWS], inverse_std[MAX_ROWS];
  UNROLL for (int i = 0; i < rows; i++) sums[i] = splat(0);
  for (int k = 0; k < width; k += 4) {
    UNROLL for (int i = 0; i < rows; i++) sums[i] = add(sums[i], load(x + i * width + k));
  }
  UNROLL for (int i = 0; i < rows; i++) mean[i] = splat(sum_lanes(sums[i]) / (float)width), sums[i] = splat(0);
  for (int k = 0; k < width; k += 4) {
    UNROLL for (int i = 0; i < rows; i++) {
      const V centered = sub(load(x + i * width + k), mean[i]);
      sums[i] = add(sums[i], mul(centered, centered));
    }
  }
  UNROLL for (int i = 0; i < rows; i++) {
    const float variance = sum_lanes(sums[i]) / (float)width;
    inverse_std[i] = splat(1 / __builtin_sqrtf(variance + norm->epsilon));
  }
  for (int k = 0; k < width; k += 4) {
    const V gamma = load(norm->gamma + k), beta = load(norm->beta + k);
    UNROLL for (int i = 0; i < rows; i++) {
      const V normalized = mul(sub(load(x + i * width + k), mean[i]), inverse_std[i]);
      store(y + i * width + k, add(mul(normalized, gamma), beta));
    }
  }
}

void layernorm(const LayerNorm *norm, const float *x, int width, float *y) { normalize(norm, 1, x, width, y); }

void layernorm_rows(const LayerNorm *norm, const float *x, int width, float *y) {
  normalize(norm, MAX_ROWS, x, width, y);
}
