// Linear layers: rows of activations times a weight, with per-channel scales.
#pragma once

#include "quantize.h"

typedef struct {
  int outs, ins;         // as the model has them
  int wide;              // whether the recipe leaves the input in float: it and the weight then are 16-bit integers
  void *weight;          // [outs / 8][ins / group][8][group], both padded with zeros; a group has 4 bytes
  float *scale, *bias;   // [outs padded]
  int32_t *sums;         // [outs padded]: of each output's levels, which an operand's offset adds to its sum
  float *input;          // scale, low and high of the input's quantizer
  Operand operand;
  int run;               // steps that may be summed in 16 bits, where the build does so
} Linear;

typedef enum { STORE, ADD, GELU, GELU_BY_TANH } Epilogue;

INLINE int padded_outs(const Linear *linear) { return round_up(linear->outs, COLUMNS); }
INLINE int padded_ins(const Linear *linear) { return round_up(linear->ins, PAD); }

// Bytes of one of the layer's operands.
INLINE int operand_bytes(const Linear *linear) { return linear->wide ? sizeof(int16_t) : sizeof(Act); }

// What the rows of one call are: operands, in fours and padded, with their scales; `count` is rounded up to a multiple
// of 4 rows, all of which must be there.
typedef struct {
  const void *acts;
  const RowScale *scales;
  int count;
} Rows;

// out[row][n] = epilogue(sum · scale of the row · scale[n] + bias[n]) for outputs first … last - 1, multiples of 8.
void linear_part(const Linear *linear, Rows rows, int first, int last, float *out, size_t stride, Epilogue epilogue);
void linear_all(const Linear *linear, Rows rows, float *out, size_t stride, Epilogue epilogue);

// Derive what depends on both the weight and the input's quantizer; 0 where the build has no room for its sums.
int finish_linear(Linear *linear);
