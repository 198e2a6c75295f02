#include "attention.h"

#include "dot.h"
#include "runs.h"
#include "softmax.h"

int attention_fits(const AttentionLayer *layer, const AttentionSizes *s) {
  int fits = 1;
  for (int head = 0; head < s->heads; head++) {
    for (int acts = QUERY; acts < OPERANDS; acts += 2) {
      const Quantizer weights = quantizer_at(layer, s->heads, acts + 1, head);
      fits &= leave_room(quantizer_at(layer, s->heads, acts, head), weights);
    }
  }
  return fits;
}

// The sum of a row of operands; its length is a multiple of 8.
INLINE int32_t sum_operands(const Act *row, int length) {
  int32_t sum = 0;
  for (int k = 0; k < length; k++) {
    const Act act = row[k / GROUP * (ROWS * GROUP) + k % GROUP];
    sum += dot_kind == DOT_SIGNED ? (int8_t)act : act;
  }
  return sum;
}

// What each row's sums need when the weight's side is stored as level + `weight_offset`: minus that times Σ operands.
INLINE void start_rows(const Act *acts, int length, int weight_offset, V starts[ROWS]) {
  for (int i = 0; i < ROWS; i++) {
    const int32_t sum = weight_offset ? sum_operands(acts + i * GROUP, length) : 0;
    starts[i] = wasm_i32x4_splat(-weight_offset * sum);
  }
}

// scores[4][padded] = log2(e) · query · key.
static void score(AttentionRows rows, int head, int row, Keys keys, AttentionScratch scratch) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim, length = s->head_dim;
  const Operand operand = to_operand(quantizer_of(rows, QUERY, head), dot_kind);
  const int key_offset = to_weight(quantizer_of(rows, KEY, head), dot_kind).offset;
  const float *queries = rows.qkv + (size_t)row * 3 * width + head * length;
  RowScale found[ROWS];
  if (rows.layer->query.gamma) {
    for (int i = 0; i < ROWS; i++)
      layernorm(&rows.layer->query, queries + (size_t)i * 3 * width, length, scratch.rows + i * length);
    quantize_four(0, scratch.rows, length, length, &operand, scratch.query, found);
  } else {
    quantize_four(0, queries, 3 * width, length, &operand, scratch.query, found);
  }
  V starts[ROWS];
  start_rows(scratch.query, length, key_offset, starts);
  const Weight *levels = keys.levels + (size_t)head * s->padded * length;
  for (int n = 0; n < s->padded; n += COLUMNS) {
    const size_t at = (size_t)head * s->padded + n;
    const V left = load(keys.starts + at), right = load(keys.starts + at + 4);
    V sums[ROWS][2];
    UNROLL for (int i = 0; i < ROWS; i++) {
      sums[i][0] = wasm_i32x4_add(left, starts[i]), sums[i][1] = wasm_i32x4_add(right, starts[i]);
    }
    dot_tile(BYTES, scratch.query, levels + (size_t)n * length, length / GROUP, sums);
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V scale = splat(found[i].scale * LOG2_E);
      float *to = scratch.scores + (size_t)i * s->padded + n;
      store(to, mul(wasm_f32x4_convert_i32x4(sums[i][0]), mul(scale, load(keys.scales + at))));
      store(to + 4, mul(wasm_f32x4_convert_i32x4(sums[i][1]), mul(scale, load(keys.scales + at + 4))));
    }
  }
}

// Four rows of scores to operands, and the scales of their levels.
INLINE void soften(float *scores, const AttentionSizes *s, const Operand *operand, void *to, float row_scales[ROWS]) {
  const int dynamic = operand->scale == 0;  // the greatest power is 1: this needs no search, and no level is beyond it
  Four four = {operand, {0}, {0}};
  for (int i = 0; i < ROWS; i++) {
    float *row = scores + (size_t)i * s->padded;
    for (int n = s->tokens; n < s->padded; n++) row[n] = -1e30f;
    const float total = powers(row, s->padded);
    four.offset[i] = operand->offset;
    four.inverse[i] = dynamic ? operand->high : 1 / (total * operand->scale);
    row_scales[i] = dynamic ? 1 / (total * operand->high) : operand->scale;
  }
  fill_four(0, dynamic, scores, s->padded, s->padded, &four, to);
}

// out[4][head_dim] of one head = probabilities · values.
static void gather(AttentionRows rows, int head, const Weight *values, const float row_scales[ROWS],
                   AttentionScratch scratch, float *out) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim;
  const int value_offset = to_weight(quantizer_of(rows, VALUE, head), dot_kind).offset;
  V starts[ROWS];
  start_rows(scratch.probabilities, s->padded, value_offset, starts);
  const Weight *levels = values + (size_t)head * s->head_dim * s->padded;
  for (int k = 0; k < s->head_dim; k += COLUMNS) {
    const int c = head * s->head_dim + k;
    const V left = load(scratch.value_starts + c), right = load(scratch.value_starts + c + 4);
    V sums[ROWS][2];
    UNROLL for (int i = 0; i < ROWS; i++) {
      sums[i][0] = wasm_i32x4_add(left, starts[i]), sums[i][1] = wasm_i32x4_add(right, starts[i]);
    }
    dot_tile(BYTES, scratch.probabilities, levels + (size_t)k * s->padded, s->padded / GROUP, sums);
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V scale = splat(row_scales[i]);
      float *to = out + (size_t)i * width + c;
      store(to, mul(wasm_f32x4_convert_i32x4(sums[i][0]), mul(scale, load(scratch.value_scales + c))));
      store(to + 4, mul(wasm_f32x4_convert_i32x4(sums[i][1]), mul(scale, load(scratch.value_scales + c + 4))));
    }
  }
}

void attend(AttentionRows rows, Keys keys, const Weight *values, AttentionScratch scratch, float *out) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim;
  for (int head = 0; head < s->heads; head++) {
    const Operand operand = to_operand(quantizer_of(rows, PROBABILITY, head), dot_kind);
    for (int row = rows.first; row < rows.last; row += ROWS) {
      score(rows, head, row, keys, scratch);
      float row_scales[ROWS];
      soften(scratch.scores, s, &operand, scratch.probabilities, row_scales);
      gather(rows, head, values, row_scales, scratch, out + (size_t)row * width);
    }
  }
}
