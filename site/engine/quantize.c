#include "quantize.h"

float largest(const float *x, int count) {
  V first = splat(0), second = first;
  int k = 0;
  for (; k + 8 <= count; k += 8) {
    first = vmax(first, wasm_f32x4_abs(load(x + k)));
    second = vmax(second, wasm_f32x4_abs(load(x + k + 4)));
  }
  if (k < count) first = vmax(first, wasm_f32x4_abs(load(x + k)));
  return max_lanes(vmax(first, second));
}

float quantize_row(const float *x, int width, const Operand *operand, Act *to) {
  float scale = operand->scale;
  if (scale == 0) scale = dynamic_scale(largest(x, width), operand->high);
  const V inverse = splat(1 / scale), low = splat(operand->low), high = splat(operand->high);
  int k = 0;
  for (; k + 8 <= width; k += 8) {
    const V a = vmax(vmin(mul(load(x + k), inverse), high), low);
    const V b = vmax(vmin(mul(load(x + k + 4), inverse), high), low);
    store_operands(to + k, to_integers(a), to_integers(b), operand->offset);
  }
  if (k < width) {
    const V a = vmax(vmin(mul(load(x + k), inverse), high), low);
    store_operands(to + k, to_integers(a), wasm_i32x4_splat(0), operand->offset);
  }
  return scale;
}

void quantize_rows(const float *x, size_t stride, int rows, int width, const Operand *operand, Act *to, float *scales) {
  const int padded = round_up(width, PAD);
  for (int row = 0; row < rows; row++, x += stride, to += padded) scales[row] = quantize_row(x, width, operand, to);
}
