// A Vision Transformer: its sizes, its layers in memory, and the buffers of a run.
#pragma once

#include "arena.h"
#include "attention.h"
#include "gemm.h"
#include "threads.h"

// What the loader writes before anything else, as int32 in this order.
typedef struct {
  int32_t height, width, patch_height, patch_width;
  int32_t dim, heads, head_dim, hidden, depth;
  int32_t prefix;        // tokens before those of patches
  int32_t pool;          // Pool
  int32_t classes;       // 0: the pooled token is the output
  int32_t classifiers;   // 1, or 2 whose outputs are averaged, of the first two tokens
  int32_t flags;         // Flag
  int32_t epsilon;       // of every LayerNorm, the bits of a float32
  int32_t threads;
  int32_t floats;        // whose inputs the recipe leaves in float, 1: the patch embedding's, 2: the classifiers'
  int32_t images;        // most images that are run at once, each by a thread of its own
} Description;

typedef enum { POOL_FIRST, POOL_MEAN, POOL_MEAN_OF_ALL } Pool;

enum Flag {
  NORM_BEFORE = 1,   // LayerNorm between the embeddings and the blocks
  NORM_QUERY_KEY = 2,
  NORM_AFTER = 4,    // LayerNorm of every token after the blocks
  NORM_POOLED = 8,   // LayerNorm of the pooled token
  GELU_WITH_TANH = 16,
  ALL_FLAGS = 31,
};

typedef struct {
  Norm before_attention, before_mlp;
  Linear qkv, projection, expand, contract;
  AttentionLayer attention;
} Block;

// Per thread.
typedef struct {
  AttentionScratch attention;
  float *rows;    // [4][widest row]
  RowScale *scales;  // [rows], of operands
  char *stack;    // of a thread other than the first
} Scratch;

enum { STACK_BYTES = 32 * 1024 };

// Of one image's run.
typedef struct {
  float *image, *output;
  float *pooled;                    // [4][dim], of which the first row is what the classifier sees
  float *stream;                    // [rows][dim], the residual stream
  float *qkv, *attended, *hidden;   // [rows][…]
  Act *acts;                        // [rows][widest input]
  Keys keys[2];                     // of odd and even blocks: a thread may be one block ahead
  Weight *values;
  float *largest;                   // [threads][heads · head_dim]
  int32_t *sums;                    // [threads][heads · head_dim]
} Buffers;

typedef struct {
  Description sizes;
  AttentionSizes attention;
  int patches, patch_length, rows;  // rows: tokens rounded up
  float epsilon;

  Linear embed, classifiers[2];
  float *prefix, *positions;        // [prefix][dim], [patches][dim]
  Norm norm_before, norm_after, norm_pooled;
  Block *blocks;

  int widest;                       // input of a layer, in operands as the build has them
  Buffers buffers[MOST_THREADS];    // [images]
  Scratch scratch[MOST_THREADS];
} Model;

extern Model model;

// Derive the model's sizes from a description; return what is wrong with it, or FINE.
typedef enum { FINE, BAD_SIZES, BAD_LENGTHS, BAD_CHOICES, TOO_LARGE, NO_MEMORY, BAD_SLOT, BAD_STATE, BAD_MACHINE, NO_ROOM } Fault;

Fault describe_model(Model *model, const Description *description);

// Place everything in the arena, and every tensor of the file in the table of slots.
void place_model(Model *model, Arena *arena);
