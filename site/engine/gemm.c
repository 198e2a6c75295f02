#include "gemm.h"

#include "dot.h"
#include "gelu.h"
#include "runs.h"

enum { BLOCK_BYTES = 192 * 1024 };  // of activations that are used again for every 8 outputs: within the L2 cache

// The scales and biases of a tile's columns.
typedef struct {
  V scale[2], bias[2];
} Columns;

INLINE Columns columns_of(const Linear *l, int n) {
  return (Columns){{load(l->scale + n), load(l->scale + n + 4)}, {load(l->bias + n), load(l->bias + n + 4)}};
}

INLINE void finish_row(V low, V high, const Columns *columns, V row_scale, float *out, Epilogue how) {
  V a = add(mul(mul(low, row_scale), columns->scale[0]), columns->bias[0]);
  V b = add(mul(mul(high, row_scale), columns->scale[1]), columns->bias[1]);
  if (how == ADD) a = add(a, load(out)), b = add(b, load(out + 4));
  if (how == GELU) a = gelu(a, &GELU_ERF), b = gelu(b, &GELU_ERF);
  if (how == GELU_BY_TANH) a = gelu(a, &GELU_TANH), b = gelu(b, &GELU_TANH);
  store(out, a), store(out + 4, b);
}

INLINE void integer_tile(const Linear *l, Rows rows, int row, int n, float *out, size_t stride, Epilogue how) {
  const int ins = padded_ins(l);
  const V left = load(l->sums + n), right = load(l->sums + n + 4);
  V sums[ROWS][2];
  UNROLL for (int i = 0; i < ROWS; i++) {
    const V offset = wasm_i32x4_splat(-rows.scales[row + i].offset);
    sums[i][0] = wasm_i32x4_mul(left, offset), sums[i][1] = wasm_i32x4_mul(right, offset);
  }
  const Act *acts = rows.acts + (size_t)row * ins;
  const Weight *weights = l->weight + (size_t)n * ins;
#ifdef PAIRS
  pairs_tile(l->run, acts, weights, ins / GROUP, sums);
#else
  dot_tile(LAYER_BYTES, acts, weights, ins / GROUP, sums);
#endif
  const Columns columns = columns_of(l, n);
  UNROLL for (int i = 0; i < ROWS; i++) {
    const V low = wasm_f32x4_convert_i32x4(sums[i][0]), high = wasm_f32x4_convert_i32x4(sums[i][1]);
    const V row_scale = splat(rows.scales[row + i].scale);
    finish_row(low, high, &columns, row_scale, out + (size_t)(row + i) * stride + n, how);
  }
}

INLINE void float_tile(const Linear *l, Rows rows, int row, int n, float *out, size_t stride, Epilogue how) {
  const int ins = padded_ins(l);
  const WeightStep *w = (const WeightStep *)(l->dense + (size_t)n * ins);
  V sums[ROWS][2];
  UNROLL for (int i = 0; i < ROWS; i++) sums[i][0] = sums[i][1] = splat(0);
  for (const Step *x = (const Step *)(rows.floats + (size_t)row * ins), *end = x + ins; x < end; x++, w++) {
    const V left = load(&w->left), right = load(&w->right);
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V value = wasm_v128_load32_splat(x->row + i);
      sums[i][0] = add(sums[i][0], mul(left, value)), sums[i][1] = add(sums[i][1], mul(right, value));
    }
  }
  const Columns columns = columns_of(l, n);
  UNROLL for (int i = 0; i < ROWS; i++) {
    float *at = out + (size_t)(row + i) * stride + n;
    finish_row(sums[i][0], sums[i][1], &columns, splat(1), at, how);
  }
}

// Layers of floats are the patch embedding and classifiers: their outputs go through no GELU.
INLINE void all_tiles(const Linear *l, Rows rows, int first, int last, float *out, size_t stride, Epilogue how) {
  const int width = padded_ins(l) * (int)(l->floats ? sizeof(float) : sizeof(Act));
  const int fitting = BLOCK_BYTES / width / ROWS * ROWS, block = fitting < ROWS ? ROWS : fitting;
  for (int from = 0; from < rows.count; from += block) {
    const int to = from + block < rows.count ? from + block : rows.count;
    for (int n = first; n < last; n += COLUMNS) {
      for (int row = from; row < to; row += ROWS) {
        if (l->floats && (how == STORE || how == ADD)) float_tile(l, rows, row, n, out, stride, how);
        else integer_tile(l, rows, row, n, out, stride, how);
      }
    }
  }
}

void linear_part(const Linear *l, Rows rows, int first, int last, float *out, size_t stride, Epilogue how) {
  switch (how) {  // each with a loop of its own
    case STORE: all_tiles(l, rows, first, last, out, stride, STORE); break;
    case ADD: all_tiles(l, rows, first, last, out, stride, ADD); break;
    case GELU: all_tiles(l, rows, first, last, out, stride, GELU); break;
    case GELU_BY_TANH: all_tiles(l, rows, first, last, out, stride, GELU_BY_TANH); break;
  }
}

void linear_all(const Linear *l, Rows rows, float *out, size_t stride, Epilogue how) {
  linear_part(l, rows, 0, padded_outs(l), out, stride, how);
}

// Of four columns' weights, four sums and more.
INLINE V add_weights(V sums, V weights) {
#if LAYER_BYTES
  return wasm_i32x4_add(sums, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16(weights)));
#else
  return dot_words(weights, wasm_i16x8_splat(1), sums);
#endif
}

int finish_linear(Linear *l) {
  if (l->floats) return 1;
  l->operand = to_operand((Quantizer){l->input[0], l->input[1], l->input[2]}, dot_kind);
  const int steps = padded_ins(l) / GROUP;
  const WeightStep *at = (const WeightStep *)l->weight;
  for (int n = 0; n < padded_outs(l); n += COLUMNS) {
    V left = wasm_i32x4_splat(0), right = left;
    for (int step = 0; step < steps; step++, at++)
      left = add_weights(left, at->left), right = add_weights(right, at->right);
    store(l->sums + n, left), store(l->sums + n + 4, right);
  }
  l->run = longest_run(l);
  return l->run > 0;
}
