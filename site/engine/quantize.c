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

// The offsets of two rows; signed bytes are unsigned ones with the top bit turned.
INLINE V two_offsets(const int *offset, int turned) {
  const int16_t a = (int16_t)(offset[0] + turned), b = (int16_t)(offset[1] + turned);
  return wasm_i16x8_make(a, a, a, a, b, b, b, b);
}

// Store four levels of each of four rows as operands; 16-bit ones have no offset.
INLINE Step *store_four(int bytes, const V levels[ROWS], const V offsets[2], V turned, Step *to) {
  const V first = wasm_i16x8_narrow_i32x4(levels[0], levels[1]), last = wasm_i16x8_narrow_i32x4(levels[2], levels[3]);
  if (bytes) {
    const V both = wasm_u8x16_narrow_i16x8(wasm_i16x8_add(first, offsets[0]), wasm_i16x8_add(last, offsets[1]));
    store(to, wasm_v128_xor(both, turned));
    return to + 1;
  }
  store(to, wasm_i32x4_shuffle(first, last, 0, 2, 4, 6)), store(to + 1, wasm_i32x4_shuffle(first, last, 1, 3, 5, 7));
  return to + 2;
}

INLINE void fill(int bytes, int within, const float *x, size_t stride, int width, const Four *four, Step *to) {
  const int top = dot_kind == DOT_SIGNED ? 128 : 0;
  const V turned = wasm_i8x16_splat((int8_t)top), low = splat(four->operand->low), high = splat(four->operand->high);
  const V offsets[2] = {two_offsets(four->offset, top), two_offsets(four->offset + 2, top)};
  V inverse[ROWS], levels[ROWS];
  UNROLL for (int i = 0; i < ROWS; i++) inverse[i] = splat(four->inverse[i]);
  for (int k = 0; k < width; k += 4) {
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V scaled = mul(load(x + i * stride + k), inverse[i]);
      levels[i] = to_integers(within ? scaled : vmax(vmin(scaled, high), low));
    }
    to = store_four(bytes, levels, offsets, turned, to);
  }
  if (width % PAD == 0) return;
  UNROLL for (int i = 0; i < ROWS; i++) levels[i] = wasm_i32x4_splat(0);
  store_four(bytes, levels, offsets, turned, to);
}

void fill_four(int wide, int within, const float *x, size_t stride, int width, const Four *four, void *to) {
  if (wide) fill(0, 1, x, stride, width, four, to);  // whose scales are always found from the rows
  else if (within) fill(BYTES, 1, x, stride, width, four, to);
  else fill(BYTES, 0, x, stride, width, four, to);
}

// The scale of each row's range, 0 included, and its offset.
static void range_four(const float *x, size_t stride, int width, const Operand *operand, Operand found[ROWS]) {
  V low[ROWS], high[ROWS];
  UNROLL for (int i = 0; i < ROWS; i++) low[i] = high[i] = splat(0);
  for (int k = 0; k < width; k += 4) {
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V value = load(x + i * stride + k);
      low[i] = vmin(low[i], value), high[i] = vmax(high[i], value);
    }
  }
  for (int i = 0; i < ROWS; i++) {
    const float least = -max_lanes(sub(splat(0), low[i]));
    found[i].scale = dynamic_scale(max_lanes(high[i]) - least, operand->high - 1);
    if (BYTES) found[i].offset -= (int)__builtin_rintf(least * (1 / found[i].scale));
  }
}

void quantize_four(int wide, const float *x, size_t stride, int width, const Operand *operand, void *to,
                   RowScale scales[ROWS]) {
  Operand found[ROWS] = {*operand, *operand, *operand, *operand};
  if (operand->scale < 0) range_four(x, stride, width, operand, found);
  for (int i = 0; operand->scale == 0 && i < ROWS; i++)
    found[i].scale = dynamic_scale(largest(x + i * stride, width), operand->high);
  Four four = {operand, {0}, {0}};
  for (int i = 0; i < ROWS; i++) {
    four.inverse[i] = 1 / found[i].scale, four.offset[i] = found[i].offset;
    scales[i] = (RowScale){found[i].scale, found[i].offset};
  }
  fill_four(wide, operand->scale <= 0, x, stride, width, &four, to);
}
