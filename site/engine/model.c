#include "model.h"

#include "loading/slots.h"

enum { MAX_SIDE = 4096, MAX_DIM = 8192, MAX_HIDDEN = 32768, MAX_DEPTH = 128, MAX_TOKENS = 16384, MAX_OUTPUTS = 65536 };

Model model;

INLINE int within(int32_t value, int32_t min, int32_t max) { return value >= min && value <= max; }

static int sizes_fit(const Description *d) {
  return within(d->height, 1, MAX_SIDE) && within(d->width, 1, MAX_SIDE) && within(d->patch_height, 1, d->height) &&
         within(d->patch_width, 1, d->width) && within(d->dim, 8, MAX_DIM) && within(d->heads, 1, MAX_DIM / 8) &&
         within(d->head_dim, 8, MAX_DIM) && within(d->heads * d->head_dim, 8, MAX_DIM) &&
         within(d->hidden, 8, MAX_HIDDEN) && within(d->depth, 1, MAX_DEPTH) && within(d->prefix, 0, 64) &&
         within(d->classes, 0, MAX_OUTPUTS) && within(d->threads, 1, MAX_THREADS) && within(d->images, 1, d->threads);
}

static int options_fit(const Description *d) {
  const int first_token = d->pool == POOL_TOKEN || d->pool == POOL_TOKEN_AVG;
  const int second = d->pool == POOL_TOKEN_AVG ? d->classes > 0 : d->pool == POOL_TOKEN && d->prefix >= 2;
  return within(d->pool, POOL_TOKEN, POOL_TOKEN_AVG) && within(d->flags, 0, FLAG_ALL) &&
         within(d->floats, 0, FLOAT_ALL) && within(d->classifiers, 1, 2) && (!first_token || d->prefix >= 1) &&
         (d->classifiers == 1 ? d->pool != POOL_TOKEN_AVG : second);
}

Fault describe_model(Model *m, const Description *d) {
  if (!sizes_fit(d)) return FAULT_SIZE_RANGE;
  if (d->dim % WIDTH_MULTIPLE || d->head_dim % WIDTH_MULTIPLE || d->hidden % WIDTH_MULTIPLE)
    return FAULT_WIDTH_MULTIPLE;
  if (!options_fit(d)) return FAULT_CONTRADICTION;
  const int patches = (d->height / d->patch_height) * (d->width / d->patch_width), tokens = d->prefix + patches;
  if (tokens > MAX_TOKENS || d->patch_height * d->patch_width > MAX_DIM) return FAULT_TOO_LARGE;
  *m = (Model){.sizes = *d, .patches = patches, .patch_length = 3 * d->patch_height * d->patch_width};
  m->rows = round_up(tokens, PAD);
  m->attention = (AttentionSizes){d->heads, d->head_dim, tokens, m->rows};
  if (!(d->epsilon > 0 && d->epsilon < 1)) return FAULT_CONTRADICTION;
  return FAULT_NONE;
}

static void alloc_linear(Linear *l, int outs, int ins, int int16, Arena *arena) {
  l->outs = outs, l->ins = ins, l->int16 = int16;
  const int padded = padded_outs(l);
  l->weight = arena_alloc(arena, (uint64_t)padded * padded_ins(l) * operand_bytes(l));
  l->scale = ARENA_ALLOC(arena, float, padded);
  l->bias = ARENA_ALLOC(arena, float, padded);
  l->weight_sums = ARENA_ALLOC(arena, int32_t, padded);
  l->input_quantizer = ARENA_ALLOC(arena, float, 4);
  add_weight(l);
  add_floats(l->scale, outs);
  add_floats(l->bias, outs);
  if (!int16) add_floats(l->input_quantizer, 3);
}

static void alloc_layernorm(LayerNorm *norm, int width, float epsilon, Arena *arena) {
  *norm = (LayerNorm){ARENA_ALLOC(arena, float, width), ARENA_ALLOC(arena, float, width), epsilon};
  add_floats(norm->gamma, width);
  add_floats(norm->beta, width);
}

static void alloc_block(Block *block, const Model *m, Arena *arena) {
  const Description *d = &m->sizes;
  const int width = d->heads * d->head_dim;
  alloc_layernorm(&block->norm1, d->dim, d->epsilon, arena);
  alloc_linear(&block->qkv, 3 * width, d->dim, 0, arena);
  if (d->flags & FLAG_QK_NORM) {
    alloc_layernorm(&block->attention.q_norm, d->head_dim, d->epsilon, arena);
    alloc_layernorm(&block->attention.k_norm, d->head_dim, d->epsilon, arena);
  }
  block->attention.quantizers = ARENA_ALLOC(arena, float, OPERANDS * 3 * d->heads);
  add_floats(block->attention.quantizers, OPERANDS * 3 * d->heads);
  alloc_linear(&block->proj, d->dim, width, 0, arena);
  alloc_layernorm(&block->norm2, d->dim, d->epsilon, arena);
  alloc_linear(&block->fc1, d->hidden, d->dim, 0, arena);
  alloc_linear(&block->fc2, d->dim, d->hidden, 0, arena);
}

static void alloc_layers(Model *m, Arena *arena) {
  const Description *d = &m->sizes;
  if (d->prefix) {
    m->prefix = ARENA_ALLOC(arena, float, d->prefix * d->dim);
    add_floats(m->prefix, d->prefix * d->dim);
  }
  m->pos_embed = ARENA_ALLOC(arena, float, m->patches * d->dim);
  add_floats(m->pos_embed, m->patches * d->dim);
  alloc_linear(&m->patch_embed, d->dim, m->patch_length, (d->floats & FLOAT_EMBED) != 0, arena);
  if (d->flags & FLAG_NORM_PRE) alloc_layernorm(&m->norm_pre, d->dim, d->epsilon, arena);
  m->blocks = ARENA_ALLOC(arena, Block, d->depth);
  static Block counted;  // in place of the blocks while memory is only counted
  for (int i = 0; i < d->depth; i++) alloc_block(arena->base ? m->blocks + i : &counted, m, arena);
  if (d->flags & FLAG_NORM) alloc_layernorm(&m->norm, d->dim, d->epsilon, arena);
  if (d->flags & FLAG_FC_NORM) alloc_layernorm(&m->fc_norm, d->dim, d->epsilon, arena);
  for (int i = 0; d->classes && i < d->classifiers; i++)
    alloc_linear(&m->classifiers[i], d->classes, d->dim, (d->floats & FLOAT_HEAD) != 0, arena);
}

static void alloc_scratch(Scratch *scratch, const Model *m, Arena *arena) {
  const AttentionSizes *s = &m->attention;
  const int width = s->heads * s->head_dim;
  scratch->attention = (AttentionScratch){
      .rows = ARENA_ALLOC(arena, float, ROWS * s->head_dim),
      .scores = ARENA_ALLOC(arena, float, ROWS * s->padded),
      .query = ARENA_ALLOC(arena, Act, ROWS * s->head_dim),
      .probabilities = ARENA_ALLOC(arena, Act, ROWS * s->padded),
      .value_scales = ARENA_ALLOC(arena, float, width),
      .value_inverse_scales = ARENA_ALLOC(arena, float, width),
      .value_corrections = ARENA_ALLOC(arena, int32_t, width),
  };
  scratch->rows = ARENA_ALLOC(arena, float, ROWS * m->max_width);
  scratch->params = ARENA_ALLOC(arena, RowQParams, m->rows);
  scratch->stack = ARENA_ALLOC(arena, char, STACK_BYTES);
}

static void alloc_buffers(Buffers *b, const Model *m, Arena *arena) {
  const Description *d = &m->sizes;
  const size_t rows = m->rows, width = (size_t)d->heads * d->head_dim, values = rows * width;
  b->image = ARENA_ALLOC(arena, float, 3 * d->height * d->width);
  b->output = ARENA_ALLOC(arena, float, 2 * ROWS * round_up(d->classes > d->dim ? d->classes : d->dim, COLUMNS));
  b->pooled = ARENA_ALLOC(arena, float, ROWS * d->dim);
  b->stream = ARENA_ALLOC(arena, float, rows * d->dim);
  b->qkv = ARENA_ALLOC(arena, float, rows * 3 * width);
  b->attended = ARENA_ALLOC(arena, float, values);
  b->hidden = ARENA_ALLOC(arena, float, rows * d->hidden);
  b->acts = ARENA_ALLOC(arena, Act, rows * m->max_width);
  for (int i = 0; i < 2; i++)
    b->keys[i] = (Keys){ARENA_ALLOC(arena, Weight, values), ARENA_ALLOC(arena, float, rows * d->heads),
                        ARENA_ALLOC(arena, int32_t, rows * d->heads)};
  b->values = ARENA_ALLOC(arena, Weight, values);
  b->value_absmax = ARENA_ALLOC(arena, float, (size_t)d->threads *width);
  b->value_sums = ARENA_ALLOC(arena, int32_t, (size_t)d->threads *width);
}

static int max_input_width(const Model *m) {
  const Description *d = &m->sizes;
  const int per_int16 = sizeof(int16_t) / sizeof(Act);
  const int widths[] = {padded_ins(&m->patch_embed) * (m->patch_embed.int16 ? per_int16 : 1), d->dim * per_int16,
                        d->hidden, d->heads * d->head_dim};
  int max = 0;
  for (int i = 0; i < 4; i++) max = widths[i] > max ? widths[i] : max;
  return max;
}

void alloc_model(Model *m, Arena *arena) {
  alloc_layers(m, arena);
  m->max_width = max_input_width(m);
  for (int image = 0; image < m->sizes.images; image++) alloc_buffers(&m->buffers[image], m, arena);
  for (int thread = 0; thread < m->sizes.threads; thread++) alloc_scratch(&m->scratch[thread], m, arena);
}
