// Linear layers: rows of quantized activations times a weight, with per-channel scales.
#pragma once

#include "quantization/quantize.h"

typedef struct {
  int outs, ins;           // as the model has them
  int int16;               // whether input and weight are 16-bit integers, since the recipe leaves the input in float
  void *weight;            // [outs / 8][ins / group][8][group], both padded with zeros; a group has 4 bytes
  float *scale, *bias;     // [outs padded]
  int32_t *weight_sums;    // [outs padded], of each output's weights; times a zero point, they correct its sums
  float *input_quantizer;  // scale, qmin and qmax
  QParams input_qparams;
  int accumulation_depth;  // steps that may be summed in 16 bits, where the build does so
} Linear;

typedef enum { EPILOGUE_STORE, EPILOGUE_ADD, EPILOGUE_GELU, EPILOGUE_GELU_TANH } Epilogue;

INLINE int padded_outs(const Linear *linear) { return round_up(linear->outs, COLUMNS); }
INLINE int padded_ins(const Linear *linear) { return round_up(linear->ins, PAD); }

// Bytes of one of the layer's activations or weights.
INLINE int operand_bytes(const Linear *linear) { return linear->int16 ? sizeof(int16_t) : sizeof(Act); }

// What a layer is applied to: quantized rows, in fours and padded, with their scales and zero points; `count` is
// rounded up to a multiple of 4 rows, all of which must be there.
typedef struct {
  const void *acts;
  const RowQParams *params;
  int count;
} QuantizedRows;

// out[row][n] = epilogue(sum · scale of the row · scale[n] + bias[n]), for all outputs, or for begin … end - 1,
// multiples of 8.
void linear(const Linear *layer, QuantizedRows rows, float *out, size_t stride, Epilogue epilogue);
void linear_slice(const Linear *layer, QuantizedRows rows, int begin, int end, float *out, size_t stride,
                  Epilogue epilogue);

// Derive what depends on both the weight and the input's quantizer; 0 where the sums overflow in this build.
int prepare_linear(Linear *linear);
