#include "kernels/gemm.h"

#include "kernels/gelu.h"
#include "quantization/accumulation.h"

enum { BLOCK_BYTES = 192 * 1024 };  // of activations that are used again for every 8 outputs: within the L2 cache

// What becomes of sums besides scales and biases: they are added to what is there, and go through GELU unless `gelu` is
// NULL.
typedef struct {
  int adds;
  const GeluFit *gelu;
} Output;

// The scales and biases of a tile's columns.
typedef struct {
  V scale[2], bias[2];
} ColumnParams;

INLINE ColumnParams load_columns(const Linear *l, int n) {
  return (ColumnParams){{load(l->scale + n), load(l->scale + n + 4)}, {load(l->bias + n), load(l->bias + n + 4)}};
}

INLINE void store_row(V left, V right, const ColumnParams *columns, V row_scale, float *out, Output output) {
  V a = add(mul(mul(left, row_scale), columns->scale[0]), columns->bias[0]);
  V b = add(mul(mul(right, row_scale), columns->scale[1]), columns->bias[1]);
  if (output.adds) a = add(a, load(out)), b = add(b, load(out + 4));
  if (output.gelu) a = gelu(a, output.gelu), b = gelu(b, output.gelu);
  store(out, a), store(out + 4, b);
}

INLINE void gemm_tile(const Linear *l, int int16, QuantizedRows rows, int row, int n, float *out, size_t stride,
                      Output output) {
  const int ins = padded_ins(l), size = int16 ? sizeof(int16_t) : sizeof(Act), steps = ins * size / 4;
  const char *acts = (const char *)rows.acts + (size_t)row * ins * size;
  const char *weights = (const char *)l->weight + (size_t)n * ins * size;
  const V left = load(l->weight_sums + n), right = load(l->weight_sums + n + 4);
  V sums[ROWS][2];
  UNROLL for (int i = 0; i < ROWS; i++) {
    const V zero_point = wasm_i32x4_splat(-rows.params[row + i].zero_point);
    sums[i][0] = wasm_i32x4_mul(left, zero_point), sums[i][1] = wasm_i32x4_mul(right, zero_point);
  }
  if (int16) dot_tile(1, acts, weights, steps, sums);
  else dot_tile_in_depth(l->accumulation_depth, acts, weights, steps, sums);
  const ColumnParams columns = load_columns(l, n);
  UNROLL for (int i = 0; i < ROWS; i++) {
    const V low = wasm_f32x4_convert_i32x4(sums[i][0]), high = wasm_f32x4_convert_i32x4(sums[i][1]);
    const V row_scale = splat(rows.params[row + i].scale);
    store_row(low, high, &columns, row_scale, out + (size_t)(row + i) * stride + n, output);
  }
}

INLINE void gemm(const Linear *l, int int16, QuantizedRows rows, int begin, int end, float *out, size_t stride,
                 Output output) {
  const int fitting = BLOCK_BYTES / (padded_ins(l) * operand_bytes(l)) / ROWS * ROWS;
  const int block = fitting < ROWS ? ROWS : fitting;
  for (int from = 0; from < rows.count; from += block) {
    const int to = from + block < rows.count ? from + block : rows.count;
    for (int n = begin; n < end; n += COLUMNS) {
      for (int row = from; row < to; row += ROWS) gemm_tile(l, int16, rows, row, n, out, stride, output);
    }
  }
}

// The patch embedding and classifiers, whose outputs go through no GELU. Not inlined: what is in the other loops'
// function takes registers from them.
__attribute__((noinline)) static void gemm_int16(const Linear *l, QuantizedRows rows, float *out, size_t stride,
                                                 Epilogue epilogue) {
  gemm(l, 1, rows, 0, padded_outs(l), out, stride, (Output){epilogue == EPILOGUE_ADD, NULL});
}

void linear_slice(const Linear *l, QuantizedRows rows, int begin, int end, float *out, size_t stride,
                  Epilogue epilogue) {
  switch (epilogue) {  // each with a loop of its own
    case EPILOGUE_STORE: gemm(l, 0, rows, begin, end, out, stride, (Output){0, NULL}); break;
    case EPILOGUE_ADD: gemm(l, 0, rows, begin, end, out, stride, (Output){1, NULL}); break;
    case EPILOGUE_GELU:
    case EPILOGUE_GELU_TANH:
      gemm(l, 0, rows, begin, end, out, stride, (Output){0, epilogue == EPILOGUE_GELU ? &GELU_ERF : &GELU_TANH});
  }
}

void linear(const Linear *l, QuantizedRows rows, float *out, size_t stride, Epilogue epilogue) {
  if (l->int16) gemm_int16(l, rows, out, stride, epilogue);
  else linear_slice(l, rows, 0, padded_outs(l), out, stride, epilogue);
}

// Add a step's weights to the sums of four columns.
INLINE V add_weights(V sums, V weights) {
  if (!INT8_OPERANDS) return dot_int16(weights, wasm_i16x8_splat(1), sums);
  return wasm_i32x4_add(sums, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16(weights)));
}

// The widest range of which 32-bit sums of products with 8-bit weights do not overflow.
static QParams int16_qparams(int ins) {
  const int fitting = INT32_MAX / (128 * ins), qmax = fitting < INT16_MAX ? fitting : INT16_MAX;
  return (QParams){0, (float)-qmax, (float)qmax, 0};
}

int prepare_linear(Linear *l) {
  if (l->int16) {
    l->input_qparams = int16_qparams(padded_ins(l));
    return 1;
  }
  const Quantizer input = {l->input_quantizer[0], l->input_quantizer[1], l->input_quantizer[2]};
  l->input_qparams = act_qparams(input, act_type);
  const int steps = padded_ins(l) / GROUP;
  const WeightStep *at = l->weight;
  for (int n = 0; n < padded_outs(l); n += COLUMNS) {
    V left = wasm_i32x4_splat(0), right = left;
    for (int step = 0; step < steps; step++, at++)
      left = add_weights(left, at->left), right = add_weights(right, at->right);
    store(l->weight_sums + n, left), store(l->weight_sums + n + 4, right);
  }
  l->accumulation_depth = accumulation_depth(l->weight, padded_outs(l), padded_ins(l));
  return l->accumulation_depth > 0;
}
