#include "attention/pack.h"

INLINE int32_t sum_int32(V x) {
  return wasm_i32x4_extract_lane(x, 0) + wasm_i32x4_extract_lane(x, 1) + wasm_i32x4_extract_lane(x, 2) +
         wasm_i32x4_extract_lane(x, 3);
}

// Store a token's values at places k … k + 3, as four neighbours of a column.
INLINE void store_neighbours(Weight *to, int column, int k, int length, V q) {
  const V words = wasm_i16x8_narrow_i32x4(q, q);
  if (INT8_OPERANDS) {
    const V bytes = wasm_i8x16_narrow_i16x8(words, words);
    wasm_v128_store32_lane(to + weight_index(GROUP, column, k, length), bytes, 0);
    return;
  }
  wasm_v128_store32_lane(to + weight_index(GROUP, column, k, length), words, 0);
  wasm_v128_store32_lane(to + weight_index(GROUP, column, k + 2, length), words, 1);
}

INLINE void pack_key(const float *key, int length, QParams params, int query_zero_point, Weight *to, int token,
                     float *scale, int32_t *correction) {
  if (params.scale == 0) params.scale = dynamic_scale(absmax(key, length), params.qmax);
  const V inverse = splat(1 / params.scale), qmin = splat(params.qmin), qmax = splat(params.qmax);
  const V zero_point = wasm_i32x4_splat(params.zero_point);
  V sum = wasm_i32x4_splat(0);
  for (int k = 0; k < length; k += 4) {
    V q = round_to_int32(vmax(vmin(mul(load(key + k), inverse), qmax), qmin));
    q = wasm_i32x4_add(q, zero_point);
    sum = wasm_i32x4_add(sum, q);
    store_neighbours(to, token, k, length, q);
  }
  *scale = params.scale;
  *correction = -query_zero_point * (sum_int32(sum) - length * params.zero_point);
}

void pack_keys(AttentionRows rows, Keys keys, float *scratch_row) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim, end = rows.end < s->tokens ? rows.end : s->tokens;
  for (int head = 0; head < s->heads; head++) {
    const QParams params = weight_qparams(quantizer_of(rows, KEY, head), act_type);
    const int query_zero_point = act_qparams(quantizer_of(rows, QUERY, head), act_type).zero_point;
    Weight *to = keys.quantized + (size_t)head * s->padded * s->head_dim;
    for (int row = rows.begin; row < end; row++) {
      const float *key = rows.qkv + (size_t)row * 3 * width + width + head * s->head_dim;
      if (rows.layer->k_norm.gamma) {
        layernorm(&rows.layer->k_norm, key, s->head_dim, scratch_row);
        key = scratch_row;
      }
      const size_t at = (size_t)head * s->padded + row;
      pack_key(key, s->head_dim, params, query_zero_point, to, row, keys.scales + at, keys.corrections + at);
    }
  }
}

void value_absmax(AttentionRows rows, float *magnitudes) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim, end = rows.end < s->tokens ? rows.end : s->tokens;
  for (int c = 0; c < width; c += 4) store(magnitudes + c, splat(0));
  for (int row = rows.begin; row < end; row++) {
    const float *value = rows.qkv + (size_t)row * 3 * width + 2 * width;
    for (int c = 0; c < width; c += 4)
      store(magnitudes + c, vmax(load(magnitudes + c), wasm_f32x4_abs(load(value + c))));
  }
}

void scale_values(AttentionRows rows, const float *magnitudes, int parts, AttentionScratch scratch) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim;
  for (int head = 0; head < s->heads; head++) {
    const Quantizer q = quantizer_of(rows, VALUE, head);
    for (int c = head * s->head_dim; c < (head + 1) * s->head_dim; c++) {
      float magnitude = magnitudes[c];
      for (int part = 1; part < parts; part++) {
        const float other = magnitudes[(size_t)part * width + c];
        if (other > magnitude) magnitude = other;
      }
      scratch.value_scales[c] = q.scale == 0 ? dynamic_scale(magnitude, q.qmax) : q.scale;
      scratch.value_inverse_scales[c] = 1 / scratch.value_scales[c];
    }
  }
}

// Store four tokens' values of four channels, which are the columns.
INLINE void store_transposed(Weight *to, int channel, int token, int length, const V q[4]) {
  if (INT8_OPERANDS) {
    const V low_byte = wasm_i32x4_splat(0xff);
    const V first = wasm_v128_or(wasm_v128_and(q[0], low_byte), wasm_i32x4_shl(wasm_v128_and(q[1], low_byte), 8));
    const V last = wasm_v128_or(wasm_i32x4_shl(wasm_v128_and(q[2], low_byte), 16), wasm_i32x4_shl(q[3], 24));
    store(to + weight_index(GROUP, channel, token, length), wasm_v128_or(first, last));
    return;
  }
  const V low_half = wasm_i32x4_splat(0xffff);
  UNROLL for (int i = 0; i < 4; i += 2) {
    const V pairs = wasm_v128_or(wasm_v128_and(q[i], low_half), wasm_i32x4_shl(q[i + 1], 16));
    store(to + weight_index(GROUP, channel, token + i, length), pairs);
  }
}

void pack_values(AttentionRows rows, AttentionScratch scratch, Weight *values, int32_t *sums) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim;
  for (int c = 0; c < width; c += 4) store(sums + c, wasm_i32x4_splat(0));
  for (int head = 0; head < s->heads; head++) {
    const QParams params = weight_qparams(quantizer_of(rows, VALUE, head), act_type);
    const V qmin = splat(params.qmin), qmax = splat(params.qmax), zero_point = wasm_i32x4_splat(params.zero_point);
    Weight *to = values + (size_t)head * s->head_dim * s->padded;
    for (int row = rows.begin; row < rows.end && row < s->padded; row += ROWS) {
      for (int k = 0; k < s->head_dim; k += 4) {
        const int c = head * s->head_dim + k;
        const V inverse = load(scratch.value_inverse_scales + c);
        V q[4];
        UNROLL for (int i = 0; i < 4; i++) {
          q[i] = wasm_i32x4_splat(0);
          if (row + i >= s->tokens) continue;
          const V value = load(rows.qkv + (size_t)(row + i) * 3 * width + 2 * width + c);
          q[i] = round_to_int32(vmax(vmin(mul(value, inverse), qmax), qmin));
          store(sums + c, wasm_i32x4_add(load(sums + c), q[i]));
        }
        UNROLL for (int i = 0; i < 4; i++) q[i] = wasm_i32x4_add(q[i], zero_point);
        store_transposed(to, k, row, s->padded, q);
      }
    }
  }
}

void correct_values(AttentionRows rows, const int32_t *sums, int parts, AttentionScratch scratch) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim;
  for (int head = 0; head < s->heads; head++) {
    const int zero_point = act_qparams(quantizer_of(rows, PROBABILITY, head), act_type).zero_point;
    for (int c = head * s->head_dim; c < (head + 1) * s->head_dim; c++) {
      int32_t sum = 0;
      for (int part = 0; part < parts; part++) sum += sums[(size_t)part * width + c];
      scratch.value_corrections[c] = -zero_point * sum;
    }
  }
}
