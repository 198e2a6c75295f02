// An attention layer, the operands of its two products, and where they lie.
#pragma once

#include "kernels/layernorm.h"
#include "quantization/quantize.h"

enum { QUERY, KEY, PROBABILITY, VALUE, OPERANDS };  // the second and fourth take the weight's place

typedef struct {
  int heads, head_dim, tokens, padded;  // tokens rounded up to PAD
} AttentionSizes;

typedef struct {
  float *quantizers;         // [OPERANDS][3][heads]: scale, qmin, qmax
  LayerNorm q_norm, k_norm;  // over a head's queries and keys; gamma is NULL where there is none
} AttentionLayer;

// Keys of all tokens, per head: [padded / 8][head_dim / GROUP][8][GROUP], each with its scale and the correction of its
// sums for the query's zero point.
typedef struct {
  Weight *quantized;
  float *scales;
  int32_t *corrections;
} Keys;

// What one thread works with.
typedef struct {
  float *rows;                  // [4][head_dim], queries or a key after LayerNorm
  float *scores;                // [4][padded]
  Act *query;                   // [4][head_dim]
  Act *probabilities;           // [4][padded]
  float *value_scales;          // [heads · head_dim]
  float *value_inverse_scales;  // [heads · head_dim]
  int32_t *value_corrections;   // [heads · head_dim], of sums, for the probabilities' zero point
} AttentionScratch;

// Rows begin … end - 1 of `qkv`, `begin` a multiple of 4: each 3 · heads · head_dim floats, queries, keys, values.
// Those beyond the tokens are left out.
typedef struct {
  const AttentionLayer *layer;
  const AttentionSizes *sizes;
  const float *qkv;
  int begin, end;
} AttentionRows;

INLINE Quantizer quantizer_at(const AttentionLayer *layer, int heads, int operand, int head) {
  const float *at = layer->quantizers + (size_t)operand * 3 * heads + head;
  return (Quantizer){at[0], at[heads], at[2 * heads]};
}

INLINE Quantizer quantizer_of(AttentionRows rows, int operand, int head) {
  return quantizer_at(rows.layer, rows.sizes->heads, operand, head);
}
