#include "attention_pack.h"

INLINE int32_t sum_integers(V x) {
  return wasm_i32x4_extract_lane(x, 0) + wasm_i32x4_extract_lane(x, 1) + wasm_i32x4_extract_lane(x, 2) +
         wasm_i32x4_extract_lane(x, 3);
}

// Four levels at places k … k + 3 of column `column`.
INLINE void place_four(Weight *to, int column, int k, int length, V levels) {
#if BYTES
  const V words = wasm_i16x8_narrow_i32x4(levels, levels), bytes = wasm_i8x16_narrow_i16x8(words, words);
  wasm_v128_store32_lane(to + weight_place(GROUP, column, k, length), bytes, 0);
#else
  const V words = wasm_i16x8_narrow_i32x4(levels, levels);
  wasm_v128_store32_lane(to + weight_place(GROUP, column, k, length), words, 0);
  wasm_v128_store32_lane(to + weight_place(GROUP, column, k + 2, length), words, 1);
#endif
}

INLINE void pack_key(const float *key, int length, Operand operand, int query_offset, Weight *to, int token,
                     float *scale, int32_t *start) {
  if (operand.scale == 0) operand.scale = dynamic_scale(largest(key, length), operand.high);
  const V inverse = splat(1 / operand.scale), low = splat(operand.low), high = splat(operand.high);
  const V offset = wasm_i32x4_splat(operand.offset);
  V sum = wasm_i32x4_splat(0);
  for (int k = 0; k < length; k += 4) {
    V levels = to_integers(vmax(vmin(mul(load(key + k), inverse), high), low));
    levels = wasm_i32x4_add(levels, offset);
    sum = wasm_i32x4_add(sum, levels);
    place_four(to, token, k, length, levels);
  }
  *scale = operand.scale;
  *start = -query_offset * (sum_integers(sum) - length * operand.offset);
}

void pack_keys(AttentionRows rows, Keys keys, float *scratch_row) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim, last = rows.last < s->tokens ? rows.last : s->tokens;
  for (int head = 0; head < s->heads; head++) {
    const Operand operand = to_weight(quantizer_of(rows, KEY, head), dot_kind);
    const int query_offset = to_operand(quantizer_of(rows, QUERY, head), dot_kind).offset;
    Weight *to = keys.levels + (size_t)head * s->padded * s->head_dim;
    for (int row = rows.first; row < last; row++) {
      const float *key = rows.qkv + (size_t)row * 3 * width + width + head * s->head_dim;
      if (rows.layer->key.gamma) {
        layernorm(&rows.layer->key, key, s->head_dim, scratch_row);
        key = scratch_row;
      }
      const size_t at = (size_t)head * s->padded + row;
      pack_key(key, s->head_dim, operand, query_offset, to, row, keys.scales + at, keys.starts + at);
    }
  }
}

void largest_values(AttentionRows rows, float *largest) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim, last = rows.last < s->tokens ? rows.last : s->tokens;
  for (int c = 0; c < width; c += 4) store(largest + c, splat(0));
  for (int row = rows.first; row < last; row++) {
    const float *value = rows.qkv + (size_t)row * 3 * width + 2 * width;
    for (int c = 0; c < width; c += 4)
      store(largest + c, vmax(load(largest + c), wasm_f32x4_abs(load(value + c))));
  }
}

void scale_values(AttentionRows rows, const float *largest, int parts, AttentionScratch scratch) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim;
  for (int head = 0; head < s->heads; head++) {
    const Quantizer q = quantizer_of(rows, VALUE, head);
    for (int c = head * s->head_dim; c < (head + 1) * s->head_dim; c++) {
      float magnitude = largest[c];
      for (int part = 1; part < parts; part++) {
        const float other = largest[(size_t)part * width + c];
        if (other > magnitude) magnitude = other;
      }
      scratch.value_scales[c] = q.scale == 0 ? dynamic_scale(magnitude, q.high) : q.scale;
      scratch.value_inverses[c] = 1 / scratch.value_scales[c];
    }
  }
}

// Four tokens' levels of four channels, side by side.
INLINE void place_tokens(Weight *to, int channel, int token, int length, const V levels[4]) {
#if BYTES
  const V low_byte = wasm_i32x4_splat(0xff);
  const V first = wasm_v128_or(wasm_v128_and(levels[0], low_byte), wasm_i32x4_shl(wasm_v128_and(levels[1], low_byte), 8));
  const V last = wasm_v128_or(wasm_i32x4_shl(wasm_v128_and(levels[2], low_byte), 16), wasm_i32x4_shl(levels[3], 24));
  store(to + weight_place(GROUP, channel, token, length), wasm_v128_or(first, last));
#else
  const V low_half = wasm_i32x4_splat(0xffff);
  UNROLL for (int i = 0; i < 4; i += 2)
    store(to + weight_place(GROUP, channel, token + i, length),
          wasm_v128_or(wasm_v128_and(levels[i], low_half), wasm_i32x4_shl(levels[i + 1], 16)));
#endif
}

void pack_values(AttentionRows rows, AttentionScratch scratch, Weight *values, int32_t *sums) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim;
  for (int c = 0; c < width; c += 4) store(sums + c, wasm_i32x4_splat(0));
  for (int head = 0; head < s->heads; head++) {
    const Operand operand = to_weight(quantizer_of(rows, VALUE, head), dot_kind);
    const V low = splat(operand.low), high = splat(operand.high), offset = wasm_i32x4_splat(operand.offset);
    Weight *to = values + (size_t)head * s->head_dim * s->padded;
    for (int row = rows.first; row < rows.last && row < s->padded; row += ROWS) {
      for (int k = 0; k < s->head_dim; k += 4) {
        const int c = head * s->head_dim + k;
        const V inverse = load(scratch.value_inverses + c);
        V levels[4];
        UNROLL for (int i = 0; i < 4; i++) {
          levels[i] = wasm_i32x4_splat(0);
          if (row + i >= s->tokens) continue;
          const V value = load(rows.qkv + (size_t)(row + i) * 3 * width + 2 * width + c);
          levels[i] = to_integers(vmax(vmin(mul(value, inverse), high), low));
          store(sums + c, wasm_i32x4_add(load(sums + c), levels[i]));
        }
        UNROLL for (int i = 0; i < 4; i++) levels[i] = wasm_i32x4_add(levels[i], offset);
        place_tokens(to, k, row, s->padded, levels);
      }
    }
  }
}

void start_values(AttentionRows rows, const int32_t *sums, int parts, AttentionScratch scratch) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim;
  for (int head = 0; head < s->heads; head++) {
    const int offset = to_operand(quantizer_of(rows, PROBABILITY, head), dot_kind).offset;
    for (int c = head * s->head_dim; c < (head + 1) * s->head_dim; c++) {
      int32_t sum = 0;
      for (int part = 0; part < parts; part++) sum += sums[(size_t)part * width + c];
      scratch.value_starts[c] = -offset * sum;
    }
  }
}
