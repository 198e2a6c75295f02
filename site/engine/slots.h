// The tensors that a file must have, in order, with where each goes.
#pragma once

#include "gemm.h"

typedef struct {
  Linear *weight;   // of a packed weight, or NULL
  float *floats;    // of floats
  int count;        // of floats
  int filled;
} Slot;

enum { MOST_SLOTS = 4096 };

typedef struct {
  Slot slots[MOST_SLOTS];
  int count;
  size_t largest;   // bytes of the largest tensor as it is stored
} Slots;

extern Slots slots;

void add_floats(float *to, int count);
void add_weight(Linear *linear);

// Put the tensor of a slot, `bits` 3 … 8 for packed weights, 16 or 32 for floats, to its place; 0 when it does not fit.
int fill_slot(int index, const void *from, size_t bytes, int bits);
int all_filled(void);
