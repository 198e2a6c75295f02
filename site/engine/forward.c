#include "forward.h"

#include "attention/attention.h"
#include "attention/pack.h"
#include "model.h"
#include "threads.h"

// What a thread does of one image: its rows of the tokens, and where the quantized inputs of layers lie.
typedef struct {
  int thread, threads;
  const Buffers *buffers;
  RowRange rows;
  Scratch scratch;
  Act *acts;
} Run;

// Where a row of a layer's quantized input begins, the first of four.
INLINE void *input_row(const Run *run, const Linear *layer, int row) {
  return (char *)run->acts + (size_t)row * padded_ins(layer) * operand_bytes(layer);
}

INLINE QuantizedRows input_rows(const Run *run, int count) {
  return (QuantizedRows){run->acts, run->scratch.params, count};
}

// Quantize rows as a layer's input.
static QuantizedRows quantize_input(const Run *run, const Linear *layer, const float *x, int stride, int count) {
  for (int row = 0; row < count; row += ROWS, x += (size_t)ROWS * stride)
    quantize_rows(layer->int16, x, stride, layer->ins, &layer->input_qparams, input_row(run, layer, row),
                  run->scratch.params + row);
  return input_rows(run, count);
}

// The same after LayerNorm, whose outputs stay nowhere else.
static QuantizedRows layernorm_input(const Run *run, const LayerNorm *norm, const Linear *layer, const float *x,
                                     int count) {
  const int ins = layer->ins;
  float *four = run->scratch.rows;
  for (int row = 0; row < count; row += ROWS) {
    layernorm_rows(norm, x + (size_t)row * ins, ins, four);
    quantize_rows(0, four, ins, ins, &layer->input_qparams, input_row(run, layer, row), run->scratch.params + row);
  }
  return input_rows(run, count);
}

// The patch of a token as floats, row by row as the image has it; zeros for tokens that are no patch.
static void copy_patch(const Run *run, int token, float *to) {
  const Description *d = &model.sizes;
  const int patch = token - d->prefix, across = d->width / d->patch_width, line = 3 * d->patch_width;
  const int length = padded_ins(&model.patch_embed);
  if (patch < 0 || patch >= model.patches) {
    __builtin_memset(to, 0, length * sizeof(float));
    return;
  }
  const int top = patch / across * d->patch_height, left = patch % across * d->patch_width;
  for (int y = 0; y < d->patch_height; y++, to += line)
    __builtin_memcpy(to, run->buffers->image + ((size_t)(top + y) * d->width + left) * 3, line * sizeof(float));
  for (int k = model.patch_length; k < length; k++) *to++ = 0;
}

static float image_scale(const Run *run, const QParams *params) {
  const int count = 3 * model.sizes.height * model.sizes.width, whole = count / 4 * 4;
  float magnitude = absmax(run->buffers->image, whole);
  for (int k = whole; k < count; k++) {
    const float value = __builtin_fabsf(run->buffers->image[k]);
    if (value > magnitude) magnitude = value;
  }
  return dynamic_scale(magnitude, params->qmax);
}

// The patches as inputs of their layer.
static QuantizedRows patch_input(const Run *run) {
  const Linear *l = &model.patch_embed;
  const int begin = run->rows.begin, count = run->rows.end - begin, length = padded_ins(l);
  QParams params = l->input_qparams;
  if (!l->int16 && params.scale == 0) params.scale = image_scale(run, &params);  // one per image, not per patch
  float *four = run->scratch.rows;
  for (int row = 0; row < count; row += ROWS) {
    for (int i = 0; i < ROWS; i++) copy_patch(run, begin + row + i, four + (size_t)i * length);
    quantize_rows(l->int16, four, length, length, &params, input_row(run, l, row), run->scratch.params + row);
  }
  return input_rows(run, count);
}

// The tokens: patches times their weight, plus position embeddings, after those of the prefix.
static void embed(const Run *run) {
  const Description *d = &model.sizes;
  const int begin = run->rows.begin, count = run->rows.end - begin;
  float *stream = run->buffers->stream + (size_t)begin * d->dim;
  for (int row = 0; row < count; row++) {
    const int patch = begin + row - d->prefix;
    float *to = stream + (size_t)row * d->dim;
    if (patch >= 0 && patch < model.patches)
      __builtin_memcpy(to, model.pos_embed + (size_t)patch * d->dim, d->dim * sizeof(float));
    else __builtin_memset(to, 0, d->dim * sizeof(float));
  }
  linear(&model.patch_embed, patch_input(run), stream, d->dim, EPILOGUE_ADD);
  for (int row = 0; row < count && begin + row < d->prefix; row++)
    __builtin_memcpy(stream + (size_t)row * d->dim, model.prefix + (size_t)(begin + row) * d->dim,
                     d->dim * sizeof(float));
  if (d->flags & FLAG_NORM_PRE) {
    for (int row = 0; row < count; row++)
      layernorm(&model.norm_pre, stream + (size_t)row * d->dim, d->dim, stream + (size_t)row * d->dim);
  }
}

// x += proj(attention(qkv(norm1(x)))) for the rows `needed`; keys and values are those of every row.
static void attention(const Run *run, int index, RowRange needed) {
  const Description *d = &model.sizes;
  const Block *block = model.blocks + index;
  const int width = d->heads * d->head_dim, begin = run->rows.begin, count = run->rows.end - begin;
  const Buffers *b = run->buffers;
  const Keys keys = b->keys[index & 1];
  AttentionRows rows = {&block->attention, &model.attention, b->qkv, begin, run->rows.end};
  float *qkv = b->qkv + (size_t)begin * 3 * width, *stream = b->stream + (size_t)begin * d->dim;

  QuantizedRows input = layernorm_input(run, &block->norm1, &block->qkv, stream, count);
  linear_slice(&block->qkv, input, width, 3 * width, qkv, 3 * width, EPILOGUE_STORE);
  input.count = needed.end - needed.begin;  // a thread's rows begin where those that are needed do
  if (input.count) linear_slice(&block->qkv, input, 0, width, qkv, 3 * width, EPILOGUE_STORE);
  pack_keys(rows, keys, run->scratch.attention.rows);
  value_absmax(rows, b->value_absmax + (size_t)run->thread * width);
  barrier(run->threads);
  scale_values(rows, b->value_absmax, run->threads, run->scratch.attention);
  pack_values(rows, run->scratch.attention, b->values, b->value_sums + (size_t)run->thread * width);
  barrier(run->threads);
  if (!input.count) return;
  rows.end = needed.end;
  correct_values(rows, b->value_sums, run->threads, run->scratch.attention);
  attend(rows, keys, b->values, run->scratch.attention, b->attended);
  input = quantize_input(run, &block->proj, b->attended + (size_t)begin * width, width, input.count);
  linear(&block->proj, input, stream, d->dim, EPILOGUE_ADD);
}

// x += fc2(gelu(fc1(norm2(x)))) for the rows `needed`.
static void mlp(const Run *run, const Block *block, RowRange needed) {
  const Description *d = &model.sizes;
  const int begin = needed.begin, count = needed.end - begin;
  float *stream = run->buffers->stream + (size_t)begin * d->dim;
  float *hidden = run->buffers->hidden + (size_t)begin * d->hidden;
  const Epilogue gelu = d->flags & FLAG_GELU_TANH ? EPILOGUE_GELU_TANH : EPILOGUE_GELU;
  QuantizedRows input = layernorm_input(run, &block->norm2, &block->fc1, stream, count);
  linear(&block->fc1, input, hidden, d->hidden, gelu);
  input = quantize_input(run, &block->fc2, hidden, d->hidden, count);
  linear(&block->fc2, input, stream, d->dim, EPILOGUE_ADD);
}

// The rows of a block's output that are used: of the last block, where the first tokens are the outcome, their groups.
static RowRange needed_rows(const Run *run, int index) {
  if (model.sizes.pool != POOL_TOKEN || index + 1 < model.sizes.depth) return run->rows;
  const int needed = round_up(model.sizes.classifiers, ROWS), begin = run->rows.begin;
  const int end = run->rows.end < needed ? run->rows.end : needed;
  return (RowRange){begin, end > begin ? end : begin};
}

// The mean of tokens, after LayerNorm where each has one.
static void pool_mean(const Run *run, float *to) {
  const Description *d = &model.sizes;
  const int begin = d->pool == POOL_AVG_ALL ? 0 : d->prefix;
  for (int k = 0; k < d->dim; k += 4) store(to + k, splat(0));
  for (int token = begin; token < model.attention.tokens; token++) {
    const float *x = run->buffers->stream + (size_t)token * d->dim;
    if (d->flags & FLAG_NORM) layernorm(&model.norm, x, d->dim, run->scratch.rows), x = run->scratch.rows;
    for (int k = 0; k < d->dim; k += 4) store(to + k, add(load(to + k), load(x + k)));
  }
  const V count = splat((float)(model.attention.tokens - begin));
  for (int k = 0; k < d->dim; k += 4) store(to + k, wasm_f32x4_div(load(to + k), count));
}

// The logits of one classifier, or without classes the pooled token, into `out`.
static void head(const Run *run, int index, float *out) {
  const Description *d = &model.sizes;
  float *pooled = run->buffers->pooled;
  const float *token = run->buffers->stream + (size_t)index * d->dim;
  if (d->pool != POOL_TOKEN && (d->pool != POOL_TOKEN_AVG || index > 0)) pool_mean(run, pooled);
  else if (d->flags & FLAG_NORM) layernorm(&model.norm, token, d->dim, pooled);
  else __builtin_memcpy(pooled, token, d->dim * sizeof(float));
  if (d->flags & FLAG_FC_NORM) layernorm(&model.fc_norm, pooled, d->dim, pooled);
  if (!d->classes) {
    __builtin_memcpy(out, pooled, d->dim * sizeof(float));
    return;
  }
  const Linear *l = &model.classifiers[index];
  linear(l, quantize_input(run, l, pooled, d->dim, ROWS), out, padded_outs(l), EPILOGUE_STORE);
}

// The outputs: of the head, or the mean of two heads'.
static void classify(const Run *run) {
  const Description *d = &model.sizes;
  const int outputs = d->classes ? d->classes : d->dim;
  float *second = run->buffers->output + (size_t)ROWS * round_up(outputs, COLUMNS);
  head(run, 0, run->buffers->output);
  if (d->classifiers == 1) return;
  head(run, 1, second);
  for (int k = 0; k < outputs; k++) run->buffers->output[k] = (run->buffers->output[k] + second[k]) / 2;
}

// Do a share of the image in these buffers, with a thread's own scratch.
static void forward_image(const Buffers *buffers, const Scratch *scratch, int thread, int threads) {
  Run run = {thread, threads, buffers, rows_of_thread(model.rows, thread, threads), *scratch, buffers->acts};
  run.acts += (size_t)run.rows.begin * model.max_width;
  embed(&run);
  for (int index = 0; index < model.sizes.depth; index++) {
    const RowRange needed = needed_rows(&run, index);
    attention(&run, index, needed);
    if (needed.end > needed.begin) mlp(&run, model.blocks + index, needed);
  }
  if (model.sizes.pool != POOL_TOKEN) barrier(threads);
  if (thread == 0) classify(&run);
}

void forward(int thread, int threads) { forward_image(&model.buffers[0], &model.scratch[thread], thread, threads); }

void forward_batch(int thread, int threads) {
  forward_image(&model.buffers[thread], &model.scratch[thread], 0, 1);
  barrier(threads);
}
