#include "kernels/softmax.h"

float softmax_numerators(float *scores, int count) {
  V max = load(scores);
  for (int n = 4; n < count; n += 4) max = vmax(max, load(scores + n));
  max = splat(max_lanes(max));
  V total = splat(0);
  for (int n = 0; n < count; n += 4) {
    const V power = exp2_nonpositive(sub(load(scores + n), max));
    total = add(total, power);
    store(scores + n, power);
  }
  return sum_lanes(total);
}
