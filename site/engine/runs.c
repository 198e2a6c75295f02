#include "runs.h"

#include "dot.h"

enum {
  LONGEST = 8,
  MOST = 128,  // weights of one sign that a 16-bit sum of products with 0 … 255 has room for: 128 · 255 < 2^15
};

#ifdef PAIRS
// Sums of neighbouring weights of one sign, as magnitudes.
INLINE V of_sign(V weights, int negative) {
  const V zero = wasm_i8x16_splat(0);
  if (!negative) return wasm_i16x8_extadd_pairwise_i8x16(wasm_i8x16_max(weights, zero));
  return wasm_i16x8_neg(wasm_i16x8_extadd_pairwise_i8x16(wasm_i8x16_min(weights, zero)));
}

// The greatest sum in any run of so many steps of one half of 8 columns.
static int greatest_sum(const Weight *weights, int steps, int run) {
  V greatest = wasm_i16x8_splat(0);
  for (int from = 0; from < steps; from += run) {
    V sums[2] = {wasm_i16x8_splat(0), wasm_i16x8_splat(0)};
    for (int step = from; step < from + run && step < steps; step++) {
      const V at = load(weights + (size_t)step * (COLUMNS * GROUP));
      for (int sign = 0; sign < 2; sign++) sums[sign] = wasm_i16x8_add(sums[sign], of_sign(at, sign));
    }
    greatest = wasm_i16x8_max(greatest, wasm_i16x8_max(sums[0], sums[1]));
  }
  int found = 0;
  int16_t lanes[8];
  store(lanes, greatest);
  for (int lane = 0; lane < 8; lane++) found = lanes[lane] > found ? lanes[lane] : found;
  return found;
}

int leave_room(Quantizer acts, Quantizer weights) {
  const float offset = (float)to_weight(weights, dot_kind).offset, low = weights.low + offset, high = weights.high + offset;
  return (acts.high - acts.low) * 2 * (high > -low ? high : -low) <= INT16_MAX;
}

int longest_run(const Weight *weights, int outs, int ins) {
  int run = LONGEST;
  for (int n = 0; run && n < outs; n += COLUMNS / 2) {
    const Weight *half = weights + (size_t)(n / COLUMNS * COLUMNS) * ins + n % COLUMNS * GROUP;
    while (run && greatest_sum(half, ins / GROUP, run) > MOST) run /= 2;
  }
  return run;
}
#else
int longest_run(const Weight *weights, int outs, int ins) {
  (void)weights, (void)outs, (void)ins;
  return 1;
}

int leave_room(Quantizer acts, Quantizer weights) {
  (void)acts, (void)weights;
  return 1;
}
#endif
