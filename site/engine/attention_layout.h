// An attention layer, its operands, and where they lie.
#pragma once

#include "layernorm.h"
#include "quantize.h"

enum { QUERY, KEY, PROBABILITY, VALUE, OPERANDS };  // the second and fourth take the weight's place

typedef struct {
  int heads, head_dim, tokens, padded;  // tokens rounded up to PAD
} AttentionSizes;

typedef struct {
  float *numbers;         // the quantizers, [OPERANDS][3][heads]: scale, low, high
  Norm query, key;        // LayerNorm over a head's queries and keys; gamma is NULL where there is none
} AttentionLayer;

// Keys of all tokens, per head: [padded / 8][head_dim / GROUP][8][GROUP], each with its scale and the start of its sums.
typedef struct {
  Weight *levels;
  float *scales;
  int32_t *starts;
} Keys;

// What one thread works with.
typedef struct {
  float *rows;             // [4][head_dim], queries or a key after LayerNorm
  float *scores;           // [4][padded]
  Act *query;              // [4][head_dim]
  Act *probabilities;      // [4][padded]
  float *value_scales;     // [heads · head_dim]
  float *value_inverses;   // 1 / value_scales
  int32_t *value_starts;   // [heads · head_dim], of sums
} AttentionScratch;

// `qkv` has rows of 3 · heads · head_dim floats: queries, keys, values. Rows are those from `first`, a multiple of 4, to
// `last` - 1; what lies beyond the tokens is left out.
typedef struct {
  const AttentionLayer *layer;
  const AttentionSizes *sizes;
  const float *qkv;
  int first, last;
} AttentionRows;

INLINE Quantizer quantizer_at(const AttentionLayer *layer, int heads, int operand, int head) {
  const float *at = layer->numbers + (size_t)operand * 3 * heads + head;
  return (Quantizer){at[0], at[heads], at[2 * heads]};
}

INLINE Quantizer quantizer_of(AttentionRows rows, int operand, int head) {
  return quantizer_at(rows.layer, rows.sizes->heads, operand, head);
}
