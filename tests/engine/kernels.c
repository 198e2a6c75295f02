// Ways into the engine's kernels for tests: arrays come and go as the model has them, not in the kernels' layouts.
#include "arena.h"
#include "kernels/gelu.h"
#include "kernels/gemm.h"
#include "kernels/layernorm.h"
#include "kernels/softmax.h"
#include "loading/unpack.h"
#include "quantization/accumulation.h"

static char arguments[1 << 18] __attribute__((aligned(64))), room[1 << 18] __attribute__((aligned(64)));

// Where the caller places the arrays of a call.
EXPORT(test_arguments) char *test_arguments(void) { return arguments; }

EXPORT(test_act_type) int test_act_type(void) { return act_type = detect_act_type(); }

INLINE int act_index(int row, int k) { return k / GROUP * (ROWS * GROUP) + row * GROUP + k % GROUP; }

INLINE int value_of(Act act, int zero_point) {
  if (!INT8_OPERANDS) return act;
  return (act_type == ACT_INT8 ? (int8_t)act : act) - zero_point;
}

// `quantizer` is scale, qmin and qmax; `q` has `width` rounded up to 8. The row is `row` of four; the others are not
// it.
EXPORT(test_quantize)
float test_quantize(const float *x, int width, const float *quantizer, int row, int32_t *q) {
  const QParams params = act_qparams((Quantizer){quantizer[0], quantizer[1], quantizer[2]}, act_type);
  float *four = (float *)room;
  Act *acts = (Act *)(room + sizeof(room) / 2);
  for (int i = 0; i < ROWS; i++) {
    for (int k = 0; k < width; k++) four[i * width + k] = i == row ? x[k] : (float)(i + k);
  }
  RowQParams found[ROWS];
  quantize_rows(0, four, width, width, &params, acts, found);
  for (int k = 0; k < round_up(width, PAD); k++) q[k] = value_of(acts[act_index(row, k)], found[row].zero_point);
  return found[row].scale;
}

// Row `row` of four, or with -1 alone.
EXPORT(test_layernorm)
void test_layernorm(const float *x, int width, float *gamma, float *beta, float epsilon, int row, float *y) {
  const LayerNorm norm = {gamma, beta, epsilon};
  float *four = (float *)room;
  for (int i = 0; i < ROWS; i++) {
    for (int k = 0; k < width; k++) four[i * width + k] = row < 0 || i == row ? x[k] : (float)(i * k);
  }
  if (row < 0) layernorm(&norm, x, width, y);
  else layernorm_rows(&norm, four, width, four), __builtin_memcpy(y, four + row * width, width * sizeof(float));
}

EXPORT(test_powers) float test_powers(float *scores, int count) { return softmax_numerators(scores, count); }

EXPORT(test_gelu) void test_gelu(const float *x, int count, int tanh, float *y) {
  for (int k = 0; k < count; k += 4) store(y + k, gelu(load(x + k), tanh ? &GELU_TANH : &GELU_ERF));
}

EXPORT(test_widen) void test_widen(const void *from, int bits, int count, float *to) {
  widen_floats(from, bits, to, count);
}

static Linear alloc_layer(Arena *arena, int outs, int ins, int int16) {
  Linear l = {.outs = outs, .ins = ins, .int16 = int16};
  const int padded = padded_outs(&l);
  l.weight = arena_alloc(arena, padded * padded_ins(&l) * operand_bytes(&l));
  l.scale = ARENA_ALLOC(arena, float, padded), l.bias = ARENA_ALLOC(arena, float, padded);
  l.weight_sums = ARENA_ALLOC(arena, int32_t, padded), l.input_quantizer = ARENA_ALLOC(arena, float, 4);
  return l;
}

// `weights` has [outs padded][ins padded], the padding included.
EXPORT(test_unpack) void test_unpack(const uint8_t *packed, int outs, int ins, int bits, int int16, int32_t *weights) {
  Arena arena = {room, 0};
  Linear l = alloc_layer(&arena, outs, ins, int16);
  unpack_weight(&l, packed, bits);
  const int length = padded_ins(&l);
  for (int n = 0; n < padded_outs(&l); n++) {
    for (int k = 0; k < length; k++) {
      if (int16) *weights++ = ((int16_t *)l.weight)[weight_index(INT16_GROUP, n, k, length)];
      else *weights++ = ((Weight *)l.weight)[weight_index(GROUP, n, k, length)];
    }
  }
}

EXPORT(test_accumulation_depth) int test_accumulation_depth(const uint8_t *packed, int outs, int ins, int bits) {
  Arena arena = {room, 0};
  Linear l = alloc_layer(&arena, outs, ins, 0);
  unpack_weight(&l, packed, bits);
  return accumulation_depth(l.weight, padded_outs(&l), padded_ins(&l));
}

// A layer of rows `x` [4][ins] that lie without gaps; `quantizer` is the input's, which an `int16` one has
// not. `out` [4][outs padded] holds what an epilogue adds to.
EXPORT(test_linear)
void test_linear(const float *x, int outs, int ins, const uint8_t *packed, int bits, const float *scale,
                 const float *bias, const float *quantizer, int int16, int epilogue, float *out) {
  Arena arena = {room, 0};
  Linear l = alloc_layer(&arena, outs, ins, int16);
  unpack_weight(&l, packed, bits);
  __builtin_memcpy(l.scale, scale, outs * sizeof(float));
  __builtin_memcpy(l.bias, bias, outs * sizeof(float));
  __builtin_memcpy(l.input_quantizer, quantizer, 3 * sizeof(float));
  prepare_linear(&l);
  const int length = padded_ins(&l);
  RowQParams *params = ARENA_ALLOC(&arena, RowQParams, ROWS);
  void *acts = arena_alloc(&arena, ROWS * length * operand_bytes(&l));
  quantize_rows(int16, x, ins, ins, &l.input_qparams, acts, params);
  linear(&l, (QuantizedRows){acts, params, ROWS}, out, padded_outs(&l), (Epilogue)epilogue);
}
