#include "forward.h"

#include "attention.h"
#include "attention_pack.h"
#include "model.h"
#include "threads.h"

// A thread in a run of one image: its rows of the tokens, and where its inputs of layers lie.
typedef struct {
  int thread, threads;
  const Buffers *buffers;
  Share share;
  Scratch scratch;
  Act *acts;
} Run;

// Where a row's operands begin, the first of four.
INLINE void *acts_of(const Run *run, const Linear *linear, int row) {
  return (char *)run->acts + (size_t)row * padded_ins(linear) * operand_bytes(linear);
}

INLINE Rows rows_of(const Run *run, int count) { return (Rows){run->acts, run->scratch.scales, count}; }

static Rows quantized(const Run *run, const Linear *linear, const float *x, int stride, int count) {
  for (int row = 0; row < count; row += ROWS, x += (size_t)ROWS * stride)
    quantize_four(linear->wide, x, stride, linear->ins, &linear->operand, acts_of(run, linear, row),
                  run->scratch.scales + row);
  return rows_of(run, count);
}

// The layer's input is the rows after LayerNorm, which stay nowhere else.
static Rows normalised(const Run *run, const Norm *norm, const Linear *linear, const float *x, int count) {
  const int ins = linear->ins;
  float *four = run->scratch.rows;
  for (int row = 0; row < count; row += ROWS) {
    layernorm_four(norm, x + (size_t)row * ins, ins, four);
    quantize_four(0, four, ins, ins, &linear->operand, acts_of(run, linear, row), run->scratch.scales + row);
  }
  return rows_of(run, count);
}

// The patch of a token as floats, row by row as the image has it; zeros for what is none.
static void copy_patch(const Run *run, int token, float *to) {
  const Description *d = &model.sizes;
  const int patch = token - d->prefix, across = d->width / d->patch_width, line = 3 * d->patch_width;
  const int length = padded_ins(&model.embed);
  if (patch < 0 || patch >= model.patches) {
    __builtin_memset(to, 0, length * sizeof(float));
    return;
  }
  const int top = patch / across * d->patch_height, left = patch % across * d->patch_width;
  for (int y = 0; y < d->patch_height; y++, to += line)
    __builtin_memcpy(to, run->buffers->image + ((size_t)(top + y) * d->width + left) * 3, line * sizeof(float));
  for (int k = model.patch_length; k < length; k++) *to++ = 0;
}

static float image_scale(const Run *run, const Operand *operand) {
  const int count = 3 * model.sizes.height * model.sizes.width, whole = count / 4 * 4;
  float magnitude = largest(run->buffers->image, whole);
  for (int k = whole; k < count; k++) {
    const float value = __builtin_fabsf(run->buffers->image[k]);
    if (value > magnitude) magnitude = value;
  }
  return dynamic_scale(magnitude, operand->high);
}

// The patches as inputs of their layer.
static Rows patch_rows(const Run *run) {
  const Linear *l = &model.embed;
  const int first = run->share.first, count = run->share.last - first, length = padded_ins(l);
  Operand operand = l->operand;
  if (!l->wide && operand.scale == 0) operand.scale = image_scale(run, &operand);  // one per image, not per patch
  float *four = run->scratch.rows;
  for (int row = 0; row < count; row += ROWS) {
    for (int i = 0; i < ROWS; i++) copy_patch(run, first + row + i, four + (size_t)i * length);
    quantize_four(l->wide, four, length, length, &operand, acts_of(run, l, row), run->scratch.scales + row);
  }
  return rows_of(run, count);
}

static void embed(const Run *run) {
  const Description *d = &model.sizes;
  const int first = run->share.first, count = run->share.last - first;
  float *stream = run->buffers->stream + (size_t)first * d->dim;
  for (int row = 0; row < count; row++) {
    const int patch = first + row - d->prefix;
    float *to = stream + (size_t)row * d->dim;
    if (patch >= 0 && patch < model.patches)
      __builtin_memcpy(to, model.positions + (size_t)patch * d->dim, d->dim * sizeof(float));
    else
      __builtin_memset(to, 0, d->dim * sizeof(float));
  }
  linear_all(&model.embed, patch_rows(run), stream, d->dim, ADD);
  for (int row = 0; row < count && first + row < d->prefix; row++)
    __builtin_memcpy(stream + (size_t)row * d->dim, model.prefix + (size_t)(first + row) * d->dim, d->dim * sizeof(float));
  if (d->flags & FLAG_NORM_BEFORE) {
    for (int row = 0; row < count; row++)
      layernorm(&model.norm_before, stream + (size_t)row * d->dim, d->dim, stream + (size_t)row * d->dim);
  }
}

// Attention of rows `wanted`, which every row's keys and values go into.
static void attention(const Run *run, int index, Share wanted) {
  const Description *d = &model.sizes;
  const Block *block = model.blocks + index;
  const int width = d->heads * d->head_dim, first = run->share.first, count = run->share.last - first;
  const Keys keys = run->buffers->keys[index & 1];
  AttentionRows rows = {&block->attention, &model.attention, run->buffers->qkv, first, run->share.last};
  float *qkv = run->buffers->qkv + (size_t)first * 3 * width, *stream = run->buffers->stream + (size_t)first * d->dim;

  Rows input = normalised(run, &block->before_attention, &block->qkv, stream, count);
  linear_part(&block->qkv, input, width, 3 * width, qkv, 3 * width, STORE);
  input.count = wanted.last - wanted.first;  // shares begin where the rows do: the first are those wanted
  if (input.count) linear_part(&block->qkv, input, 0, width, qkv, 3 * width, STORE);
  pack_keys(rows, keys, run->scratch.attention.rows);
  largest_values(rows, run->buffers->largest + (size_t)run->thread * width);
  meet(run->threads);
  scale_values(rows, run->buffers->largest, run->threads, run->scratch.attention);
  pack_values(rows, run->scratch.attention, run->buffers->values, run->buffers->sums + (size_t)run->thread * width);
  meet(run->threads);
  if (!input.count) return;
  rows.last = wanted.last;
  start_values(rows, run->buffers->sums, run->threads, run->scratch.attention);
  float *attended = run->buffers->attended + (size_t)first * width;
  attend(rows, keys, run->buffers->values, run->scratch.attention, run->buffers->attended);
  input = quantized(run, &block->projection, attended, width, input.count);
  linear_all(&block->projection, input, stream, d->dim, ADD);
}

static void mlp(const Run *run, const Block *block, Share wanted) {
  const Description *d = &model.sizes;
  const int first = wanted.first, count = wanted.last - first;
  float *stream = run->buffers->stream + (size_t)first * d->dim;
  float *hidden = run->buffers->hidden + (size_t)first * d->hidden;
  Rows input = normalised(run, &block->before_mlp, &block->expand, stream, count);
  linear_all(&block->expand, input, hidden, d->hidden, d->flags & FLAG_GELU_TANH ? GELU_BY_TANH : GELU);
  input = quantized(run, &block->contract, hidden, d->hidden, count);
  linear_all(&block->contract, input, stream, d->dim, ADD);
}

// Rows of the last block that matter: with the first tokens as the outcome, their groups alone.
static Share wanted_rows(const Run *run, int index) {
  if (model.sizes.pool != POOL_TOKEN || index + 1 < model.sizes.depth) return run->share;
  const int needed = round_up(model.sizes.classifiers, ROWS), first = run->share.first;
  const int last = run->share.last < needed ? run->share.last : needed;
  return (Share){first, last > first ? last : first};
}

// The mean of tokens, after LayerNorm where each has one.
static void pool_mean(const Run *run, float *to) {
  const Description *d = &model.sizes;
  const int first = d->pool == POOL_AVG ? d->prefix : 0;
  for (int k = 0; k < d->dim; k += 4) store(to + k, splat(0));
  for (int token = first; token < model.attention.tokens; token++) {
    const float *x = run->buffers->stream + (size_t)token * d->dim;
    if (d->flags & FLAG_NORM_AFTER) layernorm(&model.norm_after, x, d->dim, run->scratch.rows), x = run->scratch.rows;
    for (int k = 0; k < d->dim; k += 4) store(to + k, add(load(to + k), load(x + k)));
  }
  const V count = splat((float)(model.attention.tokens - first));
  for (int k = 0; k < d->dim; k += 4) store(to + k, wasm_f32x4_div(load(to + k), count));
}

// The outcome of one classifier, or without classes the pooled token, into `out`.
static void classify(const Run *run, int index, float *out) {
  const Description *d = &model.sizes;
  float *pooled = run->buffers->pooled;
  const float *token = run->buffers->stream + (size_t)index * d->dim;
  if (d->pool != POOL_TOKEN) pool_mean(run, pooled);
  else if (d->flags & FLAG_NORM_AFTER) layernorm(&model.norm_after, token, d->dim, pooled);
  else __builtin_memcpy(pooled, token, d->dim * sizeof(float));
  if (d->flags & FLAG_NORM_POOLED) layernorm(&model.norm_pooled, pooled, d->dim, pooled);
  if (!d->classes) {
    __builtin_memcpy(out, pooled, d->dim * sizeof(float));
    return;
  }
  const Linear *l = &model.classifiers[index];
  linear_all(l, quantized(run, l, pooled, d->dim, ROWS), out, padded_outs(l), STORE);
}

static void finish(const Run *run) {
  const Description *d = &model.sizes;
  const int outputs = d->classes ? d->classes : d->dim;
  float *second = run->buffers->output + (size_t)ROWS * round_up(outputs, COLUMNS);
  classify(run, 0, run->buffers->output);
  if (d->classifiers == 1) return;
  classify(run, 1, second);
  for (int k = 0; k < outputs; k++) run->buffers->output[k] = (run->buffers->output[k] + second[k]) / 2;
}

// Do a share of the run of the image in these buffers, with a thread's own scratch.
static void run_image(const Buffers *buffers, const Scratch *scratch, int thread, int threads) {
  Run run = {thread, threads, buffers, share_of(model.rows, thread, threads), *scratch, buffers->acts};
  run.acts += (size_t)run.share.first * model.widest;
  embed(&run);
  for (int index = 0; index < model.sizes.depth; index++) {
    const Share wanted = wanted_rows(&run, index);
    attention(&run, index, wanted);
    if (wanted.last > wanted.first) mlp(&run, model.blocks + index, wanted);
  }
  if (model.sizes.pool != POOL_TOKEN) meet(threads);
  if (thread == 0) finish(&run);
}

void forward(int thread, int threads) { run_image(&model.buffers[0], &model.scratch[thread], thread, threads); }

void forward_alone(int thread, int threads) {
  run_image(&model.buffers[thread], &model.scratch[thread], 0, 1);
  meet(threads);
}
