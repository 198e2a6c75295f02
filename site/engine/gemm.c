#include "gemm.h"

#include "dot.h"
#include "gelu.h"
#include "runs.h"

enum { BLOCK_BYTES = 192 * 1024 };  // of activations that are used again for every 8 outputs: within the L2 cache

// What becomes of sums besides scales and biases: what is there is added, and GELU taken, unless its form is NULL.
typedef struct {
  int adds;
  const GeluFit *fit;
} End;

// The scales and biases of a tile's columns.
typedef struct {
  V scale[2], bias[2];
} Columns;

INLINE Columns columns_of(const Linear *l, int n) {
  return (Columns){{load(l->scale + n), load(l->scale + n + 4)}, {load(l->bias + n), load(l->bias + n + 4)}};
}

INLINE void finish_row(V low, V high, const Columns *columns, V row_scale, float *out, End end) {
  V a = add(mul(mul(low, row_scale), columns->scale[0]), columns->bias[0]);
  V b = add(mul(mul(high, row_scale), columns->scale[1]), columns->bias[1]);
  if (end.adds) a = add(a, load(out)), b = add(b, load(out + 4));
  if (end.fit) a = gelu(a, end.fit), b = gelu(b, end.fit);
  store(out, a), store(out + 4, b);
}

INLINE void tile(const Linear *l, int wide, Rows rows, int row, int n, float *out, size_t stride, End end) {
  const int ins = padded_ins(l), size = wide ? sizeof(int16_t) : sizeof(Act), steps = ins * size / 4;
  const char *acts = (const char *)rows.acts + (size_t)row * ins * size;
  const char *weights = (const char *)l->weight + (size_t)n * ins * size;
  const V left = load(l->sums + n), right = load(l->sums + n + 4);
  V sums[ROWS][2];
  UNROLL for (int i = 0; i < ROWS; i++) {
    const V offset = wasm_i32x4_splat(-rows.scales[row + i].offset);
    sums[i][0] = wasm_i32x4_mul(left, offset), sums[i][1] = wasm_i32x4_mul(right, offset);
  }
#ifdef PAIRS
  if (!wide) pairs_tile(l->run, acts, weights, steps, sums);
  else
#endif
    dot_tile(BYTES && !wide, acts, weights, steps, sums);
  const Columns columns = columns_of(l, n);
  UNROLL for (int i = 0; i < ROWS; i++) {
    const V low = wasm_f32x4_convert_i32x4(sums[i][0]), high = wasm_f32x4_convert_i32x4(sums[i][1]);
    const V row_scale = splat(rows.scales[row + i].scale);
    finish_row(low, high, &columns, row_scale, out + (size_t)(row + i) * stride + n, end);
  }
}

INLINE void all_tiles(const Linear *l, int wide, Rows rows, int first, int last, float *out, size_t stride, End end) {
  const int fitting = BLOCK_BYTES / (padded_ins(l) * operand_bytes(l)) / ROWS * ROWS;
  const int block = fitting < ROWS ? ROWS : fitting;
  for (int from = 0; from < rows.count; from += block) {
    const int to = from + block < rows.count ? from + block : rows.count;
    for (int n = first; n < last; n += COLUMNS) {
      for (int row = from; row < to; row += ROWS) tile(l, wide, rows, row, n, out, stride, end);
    }
  }
}

// The patch embedding and classifiers, whose outputs go through no GELU. Not inlined: what is in the other loops' function
// takes registers from them.
__attribute__((noinline)) static void wide_tiles(const Linear *l, Rows rows, float *out, size_t stride, Epilogue how) {
  all_tiles(l, 1, rows, 0, padded_outs(l), out, stride, (End){how == ADD, NULL});
}

void linear_part(const Linear *l, Rows rows, int first, int last, float *out, size_t stride, Epilogue how) {
  switch (how) {  // each with a loop of its own
    case STORE: all_tiles(l, 0, rows, first, last, out, stride, (End){0, NULL}); break;
    case ADD: all_tiles(l, 0, rows, first, last, out, stride, (End){1, NULL}); break;
    case GELU:
    case GELU_BY_TANH:
      all_tiles(l, 0, rows, first, last, out, stride, (End){0, how == GELU ? &GELU_ERF : &GELU_TANH});
  }
}

void linear_all(const Linear *l, Rows rows, float *out, size_t stride, Epilogue how) {
  if (l->wide) wide_tiles(l, rows, out, stride, how);
  else linear_part(l, rows, 0, padded_outs(l), out, stride, how);
}

// Of four columns' weights, four sums and more.
INLINE V add_weights(V sums, V weights) {
#if BYTES
  return wasm_i32x4_add(sums, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16(weights)));
#else
  return dot_words(weights, wasm_i16x8_splat(1), sums);
#endif
}

// The widest range of which 32-bit sums of products with 8-bit weights do not overflow.
static Operand wide_operand(int ins) {
  const int fitting = INT32_MAX / (128 * ins), most = fitting < INT16_MAX ? fitting : INT16_MAX;
  return (Operand){0, (float)-most, (float)most, 0};
}

int finish_linear(Linear *l) {
  if (l->wide) {
    l->operand = wide_operand(padded_ins(l));
    return 1;
  }
  l->operand = to_operand((Quantizer){l->input[0], l->input[1], l->input[2]}, dot_kind);
  const int steps = padded_ins(l) / GROUP;
  const WeightStep *at = l->weight;
  for (int n = 0; n < padded_outs(l); n += COLUMNS) {
    V left = wasm_i32x4_splat(0), right = left;
    for (int step = 0; step < steps; step++, at++)
      left = add_weights(left, at->left), right = add_weights(right, at->right);
    store(l->sums + n, left), store(l->sums + n + 4, right);
  }
  l->run = longest_run(l->weight, padded_outs(l), padded_ins(l));
  return l->run > 0;
}
