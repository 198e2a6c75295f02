#include "quantization/quantize.h"

float absmax(const float *x, int count) {
  V first = splat(0), second = first;
  int k = 0;
  for (; k + 8 <= count; k += 8) {
    first = vmax(first, wasm_f32x4_abs(load(x + k)));
    second = vmax(second, wasm_f32x4_abs(load(x + k + 4)));
  }
  if (k < count) first = vmax(first, wasm_f32x4_abs(load(x + k)));
  return max_lanes(vmax(first, second));
}

// The zero points of two rows for unsigned bytes; signed ones are those with the top bit flipped.
INLINE V two_zero_points(const int *zero_point, int flipped) {
  const int16_t a = (int16_t)(zero_point[0] + flipped), b = (int16_t)(zero_point[1] + flipped);
  return wasm_i16x8_make(a, a, a, a, b, b, b, b);
}

// Store four values of each of four rows; 16-bit ones have no zero point.
INLINE ActStep *store_step(int int8, const V q[ROWS], const V zero_points[2], V flipped, ActStep *to) {
  const V first = wasm_i16x8_narrow_i32x4(q[0], q[1]), last = wasm_i16x8_narrow_i32x4(q[2], q[3]);
  if (int8) {
    const V both = wasm_u8x16_narrow_i16x8(wasm_i16x8_add(first, zero_points[0]), wasm_i16x8_add(last, zero_points[1]));
    store(to, wasm_v128_xor(both, flipped));
    return to + 1;
  }
  store(to, wasm_i32x4_shuffle(first, last, 0, 2, 4, 6)), store(to + 1, wasm_i32x4_shuffle(first, last, 1, 3, 5, 7));
  return to + 2;
}

INLINE void quantize_tile(int int8, int in_range, const float *x, size_t stride, int width, const RowQuantizers *rows,
                          ActStep *to) {
  const int top = act_type == ACT_INT8 ? 128 : 0;
  const V flipped = wasm_i8x16_splat((int8_t)top), qmin = splat(rows->params->qmin), qmax = splat(rows->params->qmax);
  const V zero_points[2] = {two_zero_points(rows->zero_point, top), two_zero_points(rows->zero_point + 2, top)};
  V inverse[ROWS], q[ROWS];
  UNROLL for (int i = 0; i < ROWS; i++) inverse[i] = splat(rows->inverse_scale[i]);
  for (int k = 0; k < width; k += 4) {
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V scaled = mul(load(x + i * stride + k), inverse[i]);
      q[i] = round_to_int32(in_range ? scaled : vmax(vmin(scaled, qmax), qmin));
    }
    to = store_step(int8, q, zero_points, flipped, to);
  }
  if (width % PAD == 0) return;
  UNROLL for (int i = 0; i < ROWS; i++) q[i] = wasm_i32x4_splat(0);
  store_step(int8, q, zero_points, flipped, to);
}

void quantize_rows_with(int int16, int in_range, const float *x, size_t stride, int width, const RowQuantizers *rows,
                        void *to) {
  if (int16) quantize_tile(0, 1, x, stride, width, rows, to);  // whose scales are always found from the rows
  else if (in_range) quantize_tile(INT8_OPERANDS, 1, x, stride, width, rows, to);
  else quantize_tile(INT8_OPERANDS, 0, x, stride, width, rows, to);
}

// The scale of each row's range, 0 included, and its zero point.
static void find_ranges(const float *x, size_t stride, int width, const QParams *params, QParams found[ROWS]) {
  V min[ROWS], max[ROWS];
  UNROLL for (int i = 0; i < ROWS; i++) min[i] = max[i] = splat(0);
  for (int k = 0; k < width; k += 4) {
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V value = load(x + i * stride + k);
      min[i] = vmin(min[i], value), max[i] = vmax(max[i], value);
    }
  }
  for (int i = 0; i < ROWS; i++) {
    const float low = -max_lanes(sub(splat(0), min[i]));
    found[i].scale = dynamic_scale(max_lanes(max[i]) - low, params->qmax - 1);
    if (INT8_OPERANDS) found[i].zero_point -= (int)__builtin_rintf(low * (1 / found[i].scale));
  }
}

void quantize_rows(int int16, const float *x, size_t stride, int width, const QParams *params, void *to,
                   RowQParams found[ROWS]) {
  QParams own[ROWS] = {*params, *params, *params, *params};
  if (params->scale < 0) find_ranges(x, stride, width, params, own);
  for (int i = 0; params->scale == 0 && i < ROWS; i++)
    own[i].scale = dynamic_scale(absmax(x + i * stride, width), params->qmax);
  RowQuantizers rows = {params, {0}, {0}};
  for (int i = 0; i < ROWS; i++) {
    rows.inverse_scale[i] = 1 / own[i].scale, rows.zero_point[i] = own[i].zero_point;
    found[i] = (RowQParams){own[i].scale, own[i].zero_point};
  }
  quantize_rows_with(int16, params->scale <= 0, x, stride, width, &rows, to);
}
