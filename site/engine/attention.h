// Attention in integers: scores from quantized queries and keys, softmax in float, its result and the values quantized.
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

// Whether the build has room for the sums.
int attention_fits(const AttentionLayer *layer, const AttentionSizes *sizes);

// `qkv` has rows of 3 · heads · head_dim floats: queries, keys, values. Rows are those from `first`, a multiple of 4, to
// `last` - 1; what lies beyond the tokens is left out.
typedef struct {
  const AttentionLayer *layer;
  const AttentionSizes *sizes;
  const float *qkv;
  int first, last;
} AttentionRows;

// 1. Quantize the keys of the rows, and find the largest magnitude [heads · head_dim] of each channel of their values.
void pack_keys(AttentionRows rows, Keys keys, float *scratch_row);
void largest_values(AttentionRows rows, float *largest);

// 2. From the largest magnitudes [parts][heads · head_dim] of all rows, quantize the values of these rows to `values`,
// per head [head_dim / 8][padded / GROUP][8][GROUP], and sum the levels of each channel.
void scale_values(AttentionRows rows, const float *largest, int parts, AttentionScratch scratch);
void pack_values(AttentionRows rows, AttentionScratch scratch, Weight *values, int32_t *sums);

// 3. From all keys, values and sums [parts][heads · head_dim]: out[row][heads · head_dim], for whole groups of 4 rows.
void start_values(AttentionRows rows, const int32_t *sums, int parts, AttentionScratch scratch);
void attend(AttentionRows rows, Keys keys, const Weight *values, AttentionScratch scratch, float *out);
