#include "model.h"

#include "slots.h"

enum { MOST_SIDE = 4096, MOST_DIM = 8192, MOST_HIDDEN = 32768, MOST_DEPTH = 128, MOST_TOKENS = 16384, MOST_OUTPUTS = 65536 };

Model model;

INLINE int within(int32_t value, int32_t least, int32_t most) { return value >= least && value <= most; }

static int sizes_fit(const Description *d) {
  return within(d->height, 1, MOST_SIDE) && within(d->width, 1, MOST_SIDE) &&
         within(d->patch_height, 1, d->height) && within(d->patch_width, 1, d->width) && within(d->dim, 8, MOST_DIM) &&
         within(d->heads, 1, MOST_DIM / 8) && within(d->head_dim, 8, MOST_DIM) &&
         within(d->heads * d->head_dim, 8, MOST_DIM) && within(d->hidden, 8, MOST_HIDDEN) &&
         within(d->depth, 1, MOST_DEPTH) && within(d->prefix, 0, 64) && within(d->classes, 0, MOST_OUTPUTS) &&
         within(d->threads, 1, MAX_THREADS) && within(d->images, 1, d->threads);
}

static int choices_fit(const Description *d) {
  return within(d->pool, POOL_TOKEN, POOL_AVG_ALL) && within(d->flags, 0, FLAG_ALL) && within(d->floats, 0, FLOAT_ALL) &&
         within(d->classifiers, 1, 2) && (d->classifiers == 1 || (d->pool == POOL_TOKEN && d->prefix >= 2)) &&
         (d->pool != POOL_TOKEN || d->prefix >= 1);
}

Fault describe_model(Model *m, const Description *d) {
  if (!sizes_fit(d)) return FAULT_SIZE_RANGE;
  if (d->dim % WIDTH_MULTIPLE || d->head_dim % WIDTH_MULTIPLE || d->hidden % WIDTH_MULTIPLE) return FAULT_WIDTH_MULTIPLE;
  if (!choices_fit(d)) return FAULT_CONTRADICTION;
  const int patches = (d->height / d->patch_height) * (d->width / d->patch_width), tokens = d->prefix + patches;
  if (tokens > MOST_TOKENS || d->patch_height * d->patch_width > MOST_DIM) return FAULT_TOO_LARGE;
  *m = (Model){.sizes = *d, .patches = patches, .patch_length = 3 * d->patch_height * d->patch_width};
  m->rows = round_up(tokens, PAD);
  m->attention = (AttentionSizes){d->heads, d->head_dim, tokens, m->rows};
  if (!(d->epsilon > 0 && d->epsilon < 1)) return FAULT_CONTRADICTION;
  return FAULT_NONE;
}

static void place_linear(Linear *l, int outs, int ins, int wide, Arena *arena) {
  l->outs = outs, l->ins = ins, l->wide = wide;
  const int padded = padded_outs(l);
  l->weight = take(arena, (uint64_t)padded * padded_ins(l) * operand_bytes(l));
  l->scale = TAKE(arena, float, padded);
  l->bias = TAKE(arena, float, padded);
  l->sums = TAKE(arena, int32_t, padded);
  l->input = TAKE(arena, float, 4);
  add_weight(l);
  add_floats(l->scale, outs);
  add_floats(l->bias, outs);
  if (!wide) add_floats(l->input, 3);
}

static void place_norm(Norm *norm, int width, float epsilon, Arena *arena) {
  *norm = (Norm){TAKE(arena, float, width), TAKE(arena, float, width), epsilon};
  add_floats(norm->gamma, width);
  add_floats(norm->beta, width);
}

static void place_block(Block *block, const Model *m, Arena *arena) {
  const Description *d = &m->sizes;
  const int width = d->heads * d->head_dim;
  place_norm(&block->before_attention, d->dim, d->epsilon, arena);
  place_linear(&block->qkv, 3 * width, d->dim, 0, arena);
  if (d->flags & FLAG_NORM_QUERY_KEY) {
    place_norm(&block->attention.query, d->head_dim, d->epsilon, arena);
    place_norm(&block->attention.key, d->head_dim, d->epsilon, arena);
  }
  block->attention.numbers = TAKE(arena, float, OPERANDS * 3 * d->heads);
  add_floats(block->attention.numbers, OPERANDS * 3 * d->heads);
  place_linear(&block->projection, d->dim, width, 0, arena);
  place_norm(&block->before_mlp, d->dim, d->epsilon, arena);
  place_linear(&block->expand, d->hidden, d->dim, 0, arena);
  place_linear(&block->contract, d->dim, d->hidden, 0, arena);
}

static void place_layers(Model *m, Arena *arena) {
  const Description *d = &m->sizes;
  if (d->prefix) {
    m->prefix = TAKE(arena, float, d->prefix * d->dim);
    add_floats(m->prefix, d->prefix * d->dim);
  }
  m->positions = TAKE(arena, float, m->patches * d->dim);
  add_floats(m->positions, m->patches * d->dim);
  place_linear(&m->embed, d->dim, m->patch_length, (d->floats & FLOAT_EMBED) != 0, arena);
  if (d->flags & FLAG_NORM_BEFORE) place_norm(&m->norm_before, d->dim, d->epsilon, arena);
  m->blocks = TAKE(arena, Block, d->depth);
  static Block counted;  // what stands for the blocks while memory is only counted
  for (int i = 0; i < d->depth; i++) place_block(arena->base ? m->blocks + i : &counted, m, arena);
  if (d->flags & FLAG_NORM_AFTER) place_norm(&m->norm_after, d->dim, d->epsilon, arena);
  if (d->flags & FLAG_NORM_POOLED) place_norm(&m->norm_pooled, d->dim, d->epsilon, arena);
  for (int i = 0; d->classes && i < d->classifiers; i++)
    place_linear(&m->classifiers[i], d->classes, d->dim, (d->floats & FLOAT_HEAD) != 0, arena);
}

static void place_scratch(Scratch *scratch, const Model *m, Arena *arena) {
  const AttentionSizes *s = &m->attention;
  const int width = s->heads * s->head_dim;
  scratch->attention = (AttentionScratch){
      TAKE(arena, float, ROWS * s->head_dim),  TAKE(arena, float, ROWS * s->padded), TAKE(arena, Act, ROWS * s->head_dim),
      TAKE(arena, Act, ROWS * s->padded),      TAKE(arena, float, width),            TAKE(arena, float, width),
      TAKE(arena, int32_t, width),
  };
  scratch->rows = TAKE(arena, float, ROWS * m->widest);
  scratch->scales = TAKE(arena, RowScale, m->rows);
  scratch->stack = TAKE(arena, char, STACK_BYTES);
}

static void place_buffers(Buffers *b, const Model *m, Arena *arena) {
  const Description *d = &m->sizes;
  const size_t rows = m->rows, width = (size_t)d->heads * d->head_dim;
  b->image = TAKE(arena, float, 3 * d->height * d->width);
  b->output = TAKE(arena, float, 2 * ROWS * round_up(d->classes > d->dim ? d->classes : d->dim, COLUMNS));
  b->pooled = TAKE(arena, float, ROWS * d->dim);
  b->stream = TAKE(arena, float, rows * d->dim);
  b->qkv = TAKE(arena, float, rows * 3 * width);
  b->attended = TAKE(arena, float, rows * width);
  b->hidden = TAKE(arena, float, rows * d->hidden);
  b->acts = TAKE(arena, Act, rows * m->widest);
  for (int i = 0; i < 2; i++)
    b->keys[i] = (Keys){TAKE(arena, Weight, rows * width), TAKE(arena, float, rows * d->heads),
                        TAKE(arena, int32_t, rows * d->heads)};
  b->values = TAKE(arena, Weight, rows * width);
  b->largest = TAKE(arena, float, d->threads * width);
  b->sums = TAKE(arena, int32_t, d->threads * width);
}

static int widest_input(const Model *m) {
  const Description *d = &m->sizes;
  const int wide = sizeof(int16_t) / sizeof(Act);
  const int widths[] = {padded_ins(&m->embed) * (m->embed.wide ? wide : 1), d->dim * wide, d->hidden, d->heads * d->head_dim};
  int widest = 0;
  for (int i = 0; i < 4; i++) widest = widths[i] > widest ? widths[i] : widest;
  return widest;
}

void place_model(Model *m, Arena *arena) {
  place_layers(m, arena);
  m->widest = widest_input(m);
  for (int image = 0; image < m->sizes.images; image++) place_buffers(&m->buffers[image], m, arena);
  for (int thread = 0; thread < m->sizes.threads; thread++) place_scratch(&m->scratch[thread], m, arena);
}
