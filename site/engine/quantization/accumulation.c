#include "quantization/accumulation.h"

#if ISA == ISA_PAIRS

enum {
  MAX_DEPTH = 8,
  MAX_SUM = 128,  // of weights of one sign: 128 · 255 < 2^15, so their products with 0 … 255 do not overflow
};

// Sums of neighbouring weights of one sign, as magnitudes.
INLINE V sums_of_sign(V weights, int negative) {
  const V zero = wasm_i8x16_splat(0);
  if (!negative) return wasm_i16x8_extadd_pairwise_i8x16(wasm_i8x16_max(weights, zero));
  return wasm_i16x8_neg(wasm_i16x8_extadd_pairwise_i8x16(wasm_i8x16_min(weights, zero)));
}

// The largest sum over any `depth` steps of half of the 8 columns.
static int max_sum(const Weight *weights, int steps, int depth) {
  V max = wasm_i16x8_splat(0);
  for (int from = 0; from < steps; from += depth) {
    V sums[2] = {wasm_i16x8_splat(0), wasm_i16x8_splat(0)};
    for (int step = from; step < from + depth && step < steps; step++) {
      const V at = load(weights + (size_t)step * (COLUMNS * GROUP));
      for (int sign = 0; sign < 2; sign++) sums[sign] = wasm_i16x8_add(sums[sign], sums_of_sign(at, sign));
    }
    max = wasm_i16x8_max(max, wasm_i16x8_max(sums[0], sums[1]));
  }
  int largest = 0;
  int16_t lanes[8];
  store(lanes, max);
  for (int lane = 0; lane < 8; lane++) largest = lanes[lane] > largest ? lanes[lane] : largest;
  return largest;
}

int accumulation_depth(const Weight *weights, int outs, int ins) {
  int depth = MAX_DEPTH;
  for (int n = 0; depth && n < outs; n += COLUMNS / 2) {
    const Weight *half = weights + (size_t)(n / COLUMNS * COLUMNS) * ins + n % COLUMNS * GROUP;
    while (depth && max_sum(half, ins / GROUP, depth) > MAX_SUM) depth /= 2;
  }
  return depth;
}

int products_fit_int16(Quantizer acts, Quantizer weights) {
  const float zero_point = (float)weight_qparams(weights, act_type).zero_point;
  const float min = weights.qmin + zero_point, max = weights.qmax + zero_point;
  return (acts.qmax - acts.qmin) * 2 * (max > -min ? max : -min) <= INT16_MAX;
}

#else

int accumulation_depth(const Weight *weights, int outs, int ins) {
  (void)weights, (void)outs, (void)ins;
  return 1;
}

int products_fit_int16(Quantizer acts, Quantizer weights) {
  (void)acts, (void)weights;
  return 1;
}

#endif
