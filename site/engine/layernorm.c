#include "layernorm.h"

enum { MOST = 4 };  // rows at once: sums of one row wait for each other

INLINE void normalise(const Norm *norm, int rows, const float *x, int width, float *y) {
  V mean[MOST], sums[MOST], factor[MOST];
  UNROLL for (int i = 0; i < rows; i++) sums[i] = splat(0);
  for (int k = 0; k < width; k += 4) {
    UNROLL for (int i = 0; i < rows; i++) sums[i] = add(sums[i], load(x + i * width + k));
  }
  UNROLL for (int i = 0; i < rows; i++) mean[i] = splat(sum_lanes(sums[i]) / (float)width), sums[i] = splat(0);
  for (int k = 0; k < width; k += 4) {
    UNROLL for (int i = 0; i < rows; i++) {
      const V centred = sub(load(x + i * width + k), mean[i]);
      sums[i] = add(sums[i], mul(centred, centred));
    }
  }
  UNROLL for (int i = 0; i < rows; i++)
    factor[i] = splat(1 / __builtin_sqrtf(sum_lanes(sums[i]) / (float)width + norm->epsilon));
  for (int k = 0; k < width; k += 4) {
    const V gamma = load(norm->gamma + k), beta = load(norm->beta + k);
    UNROLL for (int i = 0; i < rows; i++) {
      const V normal = mul(sub(load(x + i * width + k), mean[i]), factor[i]);
      store(y + i * width + k, add(mul(normal, gamma), beta));
    }
  }
}

void layernorm(const Norm *norm, const float *x, int width, float *y) { normalise(norm, 1, x, width, y); }

void layernorm_four(const Norm *norm, const float *x, int width, float *y) { normalise(norm, MOST, x, width, y); }
