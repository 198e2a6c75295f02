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

// The scale of a row's range, 0 included, and its levels.
INLINE Operand ranged(int bytes, const float *x, int count, Operand operand) {
  V low = splat(0), high = low;
  for (int k = 0; k < count; k += 4) {
    const V value = load(x + k);
    low = vmin(low, value), high = vmax(high, value);
  }
  const float least = -max_lanes(sub(splat(0), low)), steps = operand.high - 1;
  operand.scale = dynamic_scale(max_lanes(high) - least, steps);
  operand.low = __builtin_rintf(least * (1 / operand.scale));
  operand.high += operand.low;
  if (bytes) operand.offset -= (int)operand.low;
  return operand;
}

INLINE Operand operand_of_row(int bytes, const float *x, int width, const Operand *operand) {
  if (operand->scale < 0) return ranged(bytes, x, width, *operand);
  Operand found = *operand;
  if (found.scale == 0) found.scale = dynamic_scale(largest(x, width), found.high);
  return found;
}

INLINE void fill_row(int bytes, const float *x, int width, const Operand *found, int within, void *to) {
  const V inverse = splat(1 / found->scale);
  int k = 0;
  for (; k + 8 <= width; k += 8) {
    const V a = levels_of(x + k, inverse, found, within), b = levels_of(x + k + 4, inverse, found, within);
    store_operands(bytes, to, k, a, b, found->offset);
  }
  if (k == width) return;
  store_operands(bytes, to, k, levels_of(x + k, inverse, found, within), wasm_i32x4_splat(0), found->offset);
}

INLINE RowScale quantize(int bytes, const float *x, int width, const Operand *operand, void *to) {
  const Operand found = operand_of_row(bytes, x, width, operand);
  if (operand->scale < 0) fill_row(bytes, x, width, &found, 1, to);  // whose ends were found from the row
  else fill_row(bytes, x, width, &found, 0, to);
  return (RowScale){found.scale, found.offset};
}

RowScale quantize_row(int wide, const float *x, int width, const Operand *operand, int row, void *acts) {
  const int length = round_up(width, PAD);
  if (wide) return quantize(0, x, width, operand, (int16_t *)acts + row_place(WORD_GROUP, row, length));
  return quantize(BYTES, x, width, operand, (Act *)acts + row_place(GROUP, row, length));
}
