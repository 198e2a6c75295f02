// A Vision Transformer: its sizes, its layers in memory, and the buffers of a run.
#pragma once

#include "arena.h"
#include "attention_layout.h"
#include "contract.h"
#include "gemm.h"

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

  Linear embed, classifiers[2];
  float *prefix, *positions;        // [prefix][dim], [patches][dim]
  Norm norm_before, norm_after, norm_pooled;
  Block *blocks;

  int widest;                       // input of a layer, in operands as the build has them
  Buffers buffers[MAX_THREADS];    // [images]
  Scratch scratch[MAX_THREADS];
} Model;

extern Model model;

// Derive the model's sizes from a description; return what is wrong with it, or FAULT_NONE.
Fault describe_model(Model *model, const Description *description);

// Place everything in the arena, and every tensor of the file in the table of slots.
void place_model(Model *model, Arena *arena);
