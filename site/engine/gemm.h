// Linear layers: rows of activations times a weight, with per-channel scales.
#pragma once

#include "quantize.h"

typedef struct {
  int outs, ins;         // as the model has them
  int floats;            // whether the input stays float: `dense` then holds the weight's levels
  Weight *weight;        // [outs / 8][ins / GROUP][8][GROUP], both padded with zeros
  float *dense;          // [outs / 8][ins][8]
  float *scale, *bias;   // [outs padded]
  int32_t *sums;         // [outs padded]: of each output's levels, which an operand's offset adds to its sum
  float *input;          // scale, low and high of the input's quantizer
  Operand operand;
  int run;               // steps that may be summed in 16 bits, where the build does so
} Linear;

typedef enum { STORE, ADD, GELU, GELU_BY_TANH } Epilogue;

INLINE int padded_outs(const Linear *linear) { return round_up(linear->outs, COLUMNS); }
INLINE int padded_ins(const Linear *linear) { return round_up(linear->ins, PAD); }

// What the rows of one call are: operands with their scales, or floats, in fours and padded; `count` is rounded up to a
// multiple of 4 rows, all of which must be there.
typedef struct {
  const Act *acts;
  const RowScale *scales;
  const float *floats;
  int count;
} Rows;

// out[row][n] = epilogue(sum · scale of the row · scale[n] + bias[n]) for outputs first … last - 1, multiples of 8.
void linear_part(const Linear *linear, Rows rows, int first, int last, float *out, size_t stride, Epilogue epilogue);
void linear_all(const Linear *linear, Rows rows, float *out, size_t stride, Epilogue epilogue);

// Derive what depends on both the weight and the input's quantizer; 0 where the build has no room for its sums.
int finish_linear(Linear *linear);
