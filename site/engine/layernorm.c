#include "layernorm.h"

void layernorm(const Norm *norm, const float *x, int width, float *y) {
  V total = splat(0);
  for (int k = 0; k < width; k += 4) total = add(total, load(x + k));
  const V mean = splat(sum_lanes(total) / (float)width);
  V squares = splat(0);
  for (int k = 0; k < width; k += 4) {
    const V centred = sub(load(x + k), mean);
    squares = add(squares, mul(centred, centred));
  }
  const V factor = splat(1 / __builtin_sqrtf(sum_lanes(squares) / (float)width + norm->epsilon));
  for (int k = 0; k < width; k += 4) {
    const V normal = mul(sub(load(x + k), mean), factor);
    store(y + k, add(mul(normal, load(norm->gamma + k)), load(norm->beta + k)));
  }
}
