#include "attention/attention.h"

#include "kernels/softmax.h"
#include "quantization/accumulation.h"

int attention_fits(const AttentionLayer *layer, const AttentionSizes *s) {
  int fits = 1;
  for (int head = 0; head < s->heads; head++) {
    for (int acts = QUERY; acts < OPERANDS; acts += 2) {
      const Quantizer weights = quantizer_at(layer, s->heads, acts + 1, head);
      fits &= products_fit_int16(quantizer_at(layer, s->heads, acts, head), weights);
    }
  }
  return fits;
}

// The sum of a row of activations; its length is a multiple of 8.
INLINE int32_t sum_row(const Act *row, int length) {
  int32_t sum = 0;
  for (int k = 0; k < length; k++) {
    const Act act = row[k / GROUP * (ROWS * GROUP) + k % GROUP];
    sum += act_type == ACT_INT8 ? (int8_t)act : act;
  }
  return sum;
}

// Correct each row's sums for the zero point of the weight's side: minus that times the sum of activations.
INLINE void row_corrections(const Act *acts, int length, int weight_zero_point, V corrections[ROWS]) {
  for (int i = 0; i < ROWS; i++) {
    const int32_t sum = weight_zero_point ? sum_row(acts + i * GROUP, length) : 0;
    corrections[i] = wasm_i32x4_splat(-weight_zero_point * sum);
  }
}

// scores[4][padded] = log2(e) · query · key.
static void attention_scores(AttentionRows rows, int head, int row, Keys keys, AttentionScratch scratch) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim, length = s->head_dim;
  const QParams params = act_qparams(quantizer_of(rows, QUERY, head), act_type);
  const int key_zero_point = weight_qparams(quantizer_of(rows, KEY, head), act_type).zero_point;
  const float *queries = rows.qkv + (size_t)row * 3 * width + head * length;
  RowQParams query[ROWS];
  if (rows.layer->q_norm.gamma) {
    for (int i = 0; i < ROWS; i++)
      layernorm(&rows.layer->q_norm, queries + (size_t)i * 3 * width, length, scratch.rows + i * length);
    quantize_rows(0, scratch.rows, length, length, &params, scratch.query, query);
  } else {
    quantize_rows(0, queries, 3 * width, length, &params, scratch.query, query);
  }
  V corrections[ROWS];
  row_corrections(scratch.query, length, key_zero_point, corrections);
  const Weight *quantized = keys.quantized + (size_t)head * s->padded * length;
  for (int n = 0; n < s->padded; n += COLUMNS) {
    const size_t at = (size_t)head * s->padded + n;
    const V left = load(keys.corrections + at), right = load(keys.corrections + at + 4);
    V sums[ROWS][2];
    UNROLL for (int i = 0; i < ROWS; i++) {
      sums[i][0] = wasm_i32x4_add(left, corrections[i]), sums[i][1] = wasm_i32x4_add(right, corrections[i]);
    }
    dot_tile(0, scratch.query, quantized + (size_t)n * length, length / GROUP, sums);
    UNROLL for (int i = 0; i < ROWS; i++) {
      const V scale = splat(query[i].scale * LOG2_E);
      float *to = scratch.scores + (size_t)i * s->padded + n;
      store(to, mul(wasm_f32x4_convert_i32x4(sums[i][0]), mul(scale, load(keys.scales + at))));
      store(to + 4, mul(wasm_f32x4_convert_i32x4(sums[i][1]), mul(scale, load(keys.scales + at + 4))));
    }
  }
}

// Four rows of scores to quantized probabilities, with their scales.
INLINE void softmax_quantize(float *scores, const AttentionSizes *s, const QParams *params, void *to,
                             float row_scales[ROWS]) {
  const int dynamic = params->scale == 0;  // the largest numerator is 1: this needs no search, and none is out of range
  RowQuantizers rows = {params, {0}, {0}};
  for (int i = 0; i < ROWS; i++) {
    float *row = scores + (size_t)i * s->padded;
    for (int n = s->tokens; n < s->padded; n++) row[n] = -1e30f;
    const float total = softmax_numerators(row, s->padded);
    rows.zero_point[i] = params->zero_point;
    rows.inverse_scale[i] = dynamic ? params->qmax : 1 / (total * params->scale);
    row_scales[i] = dynamic ? 1 / (total * params->qmax) : params->scale;
  }
  quantize_rows_with(0, dynamic, scores, s->padded, s->padded, &rows, to);
}

// out[4][head_dim] of one head = probabilities · values.
static void attention_value(AttentionRows rows, int head, const Weight *values, const float row_scales[ROWS],
                            AttentionScratch scratch, float *out) {
  const AttentionSizes *s = rows.sizes;
  const int width = s->heads * s->head_dim;
  const int value_zero_point = weight_qparams(quantizer_of(rows, VALUE, head), act_type).zero_point;
  V corrections[ROWS];
  row_corrections(scratch.probabilities, s->padded, value_zero_point, corrections);
  const Weight *quantized = values + (size_t)head * s->head_dim * s->padded;
  for (int k = 0; k < s->head_dim; k += COLUMNS) {
    const int c = head * s->head_dim + k;
    const V left = load(scratch.value_corrections + c), right = load(scratch.value_corrections + c + 4);
    V sums[ROWS][2];
    UNROLL for (int i = 0; i < ROWS; i++) {
      sums[i][0] = wasm_i32x4_add(left, corrections[i]), sums[i][1] = wasm_i32x4_add(right, corrections[i]);
    }
    dot_tile(0, scratch.probabilities, quantized + (size_t)k * s->padded, s->padded / GROUP, sums);
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
    const QParams params = act_qparams(quantizer_of(rows, PROBABILITY, head), act_type);
    for (int row = rows.begin; row < rows.end; row += ROWS) {
      attention_scores(rows, head, row, keys, scratch);
      float row_scales[ROWS];
      softmax_quantize(scratch.scores, s, &params, scratch.probabilities, row_scales);
      attention_value(rows, head, values, row_scales, scratch, out + (size_t)row * width);
    }
  }
}
