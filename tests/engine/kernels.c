// Ways into the engine's kernels for tests: arrays come and go as the model has them, not in the kernels' layouts.
#include "arena.h"
#include "gelu.h"
#include "gemm.h"
#include "layernorm.h"
#include "runs.h"
#include "softmax.h"
#include "unpack.h"

static char arguments[1 << 18] __attribute__((aligned(64))), room[1 << 18] __attribute__((aligned(64)));

// Where the caller places the arrays of a call.
EXPORT(test_arguments) char *test_arguments(void) { return arguments; }

EXPORT(test_dot) int test_dot(void) { return dot_kind = probe_dot(); }

INLINE int act_place(int row, int k) { return k / GROUP * (ROWS * GROUP) + row * GROUP + k % GROUP; }

INLINE int level_of(Act act, int offset) {
#if BYTES
  return (dot_kind == DOT_SIGNED ? (int8_t)act : act) - offset;
#else
  (void)offset;
  return act;
#endif
}

// `numbers` are scale, low and high; `levels` has `width` rounded up to 8. The row is `row` of four; the others are not it.
EXPORT(test_quantize)
float test_quantize(const float *x, int width, const float *numbers, int row, int32_t *levels) {
  const Operand operand = to_operand((Quantizer){numbers[0], numbers[1], numbers[2]}, dot_kind);
  float *four = (float *)room;
  Act *acts = (Act *)(room + sizeof(room) / 2);
  for (int i = 0; i < ROWS; i++) {
    for (int k = 0; k < width; k++) four[i * width + k] = i == row ? x[k] : (float)(i + k);
  }
  RowScale found[ROWS];
  quantize_four(0, four, width, width, &operand, acts, found);
  for (int k = 0; k < round_up(width, PAD); k++) levels[k] = level_of(acts[act_place(row, k)], found[row].offset);
  return found[row].scale;
}

// Row `row` of four, or with -1 alone.
EXPORT(test_layernorm)
void test_layernorm(const float *x, int width, float *gamma, float *beta, float epsilon, int row, float *y) {
  const Norm norm = {gamma, beta, epsilon};
  float *four = (float *)room;
  for (int i = 0; i < ROWS; i++) {
    for (int k = 0; k < width; k++) four[i * width + k] = row < 0 || i == row ? x[k] : (float)(i * k);
  }
  if (row < 0) layernorm(&norm, x, width, y);
  else layernorm_four(&norm, four, width, four), __builtin_memcpy(y, four + row * width, width * sizeof(float));
}

EXPORT(test_powers) float test_powers(float *scores, int count) { return powers(scores, count); }

EXPORT(test_gelu) void test_gelu(const float *x, int count, int tanh, float *y) {
  for (int k = 0; k < count; k += 4) store(y + k, gelu(load(x + k), tanh ? &GELU_TANH : &GELU_ERF));
}

EXPORT(test_widen) void test_widen(const void *from, int bits, int count, float *to) {
  widen_floats(from, bits, to, count);
}

static Linear place(Arena *arena, int outs, int ins, int wide) {
  Linear l = {.outs = outs, .ins = ins, .wide = wide};
  const int padded = padded_outs(&l);
  l.weight = take(arena, padded * padded_ins(&l) * operand_bytes(&l));
  l.scale = TAKE(arena, float, padded), l.bias = TAKE(arena, float, padded);
  l.sums = TAKE(arena, int32_t, padded), l.input = TAKE(arena, float, 4);
  return l;
}

// `levels` has [outs padded][ins padded], the padding included.
EXPORT(test_unpack) void test_unpack(const uint8_t *packed, int outs, int ins, int bits, int wide, int32_t *levels) {
  Arena arena = {room, 0};
  Linear l = place(&arena, outs, ins, wide);
  unpack_weight(&l, packed, bits);
  const int length = padded_ins(&l);
  for (int n = 0; n < padded_outs(&l); n++) {
    for (int k = 0; k < length; k++)
      *levels++ = wide ? ((int16_t *)l.weight)[weight_place(WORD_GROUP, n, k, length)]
                       : ((Weight *)l.weight)[weight_place(GROUP, n, k, length)];
  }
}

EXPORT(test_run) int test_run(const uint8_t *packed, int outs, int ins, int bits) {
  Arena arena = {room, 0};
  Linear l = place(&arena, outs, ins, 0);
  unpack_weight(&l, packed, bits);
  return longest_run(l.weight, padded_outs(&l), padded_ins(&l));
}

// A layer of rows `x` [4][ins] that lie without gaps; `numbers` of the input's quantizer, which a `wide` one has
// not. `out` [4][outs padded] holds what an epilogue adds to.
EXPORT(test_linear)
void test_linear(const float *x, int outs, int ins, const uint8_t *packed, int bits, const float *scale,
                 const float *bias, const float *numbers, int wide, int epilogue, float *out) {
  Arena arena = {room, 0};
  Linear l = place(&arena, outs, ins, wide);
  unpack_weight(&l, packed, bits);
  __builtin_memcpy(l.scale, scale, outs * sizeof(float));
  __builtin_memcpy(l.bias, bias, outs * sizeof(float));
  __builtin_memcpy(l.input, numbers, 3 * sizeof(float));
  finish_linear(&l);
  const int length = padded_ins(&l);
  RowScale *scales = TAKE(&arena, RowScale, ROWS);
  void *acts = take(&arena, ROWS * length * operand_bytes(&l));
  quantize_four(wide, x, ins, ins, &l.operand, acts, scales);
  linear_all(&l, (Rows){acts, scales, ROWS}, out, padded_outs(&l), (Epilogue)epilogue);
}
