#include "softmax.h"

float powers(float *scores, int count) {
  V most = load(scores);
  for (int n = 4; n < count; n += 4) most = vmax(most, load(scores + n));
  most = splat(max_lanes(most));
  V total = splat(0);
  for (int n = 0; n < count; n += 4) {
    const V power = power_of_two(sub(load(scores + n), most));
    total = add(total, power);
    store(scores + n, power);
  }
  return sum_lanes(total);
}
