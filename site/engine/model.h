// A Vision Transformer: its sizes, its layers in memory, and the buffers of a run.
#pragma once

#include "arena.h"
#include "attention/layout.h"
#include "contract.h"
#include "kernels/gemm.h"

typedef struct {
  LayerNorm norm1, norm2;
  Linear qkv, proj, fc1, fc2;
  AttentionLayer attention;
} Block;

// Per thread.
typedef struct {
  AttentionScratch attention;
  float *rows;         // [4][max_width]
  RowQParams *params;  // [rows], of a layer's input
  char *stack;         // of a thread other than the first
} Scratch;

enum { STACK_BYTES = 32 * 1024 };

// Of one image's run.
typedef struct {
  float *image, *output;
  float *pooled;                   // [4][dim], of which the first row is the classifier's input
  float *stream;                   // [rows][dim], the residual stream
  float *qkv, *attended, *hidden;  // [rows][…]
  Act *acts;                       // [rows][max_width], a layer's input
  Keys keys[2];                    // of odd and even blocks: a thread may be one block ahead
  Weight *values;
  float *value_absmax;  // [threads][heads · head_dim]
  int32_t *value_sums;  // [threads][heads · head_dim]
} Buffers;

typedef struct {
  Description sizes;
  AttentionSizes attention;
  int patches, patch_length, rows;  // rows: tokens rounded up

  Linear patch_embed, classifiers[2];
  float *prefix, *pos_embed;  // [prefix][dim], [patches][dim]
  LayerNorm norm_pre, norm, fc_norm;
  Block *blocks;

  int max_width;                 // of a layer's input, in activations of the build's type
  Buffers buffers[MAX_THREADS];  // [images]
  Scratch scratch[MAX_THREADS];
} Model;

extern Model model;

// Derive the model's sizes from a description; return what is wrong with it, or FAULT_NONE.
Fault describe_model(Model *model, const Description *description);

// Allocate everything in the arena, and add every tensor of the file to the slots.
void alloc_model(Model *model, Arena *arena);
