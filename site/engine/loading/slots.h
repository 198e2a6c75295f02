// The tensors that a file must have, in order, and where each goes.
#pragma once

#include "kernels/gemm.h"

typedef struct {
  Linear *weight;  // of a packed weight, or NULL
  float *floats;   // of floats
  int count;       // of floats
  int filled;
} Slot;

enum { MAX_SLOTS = 4096 };

typedef struct {
  Slot slots[MAX_SLOTS];
  int count;
  size_t max_bytes;  // of a tensor as it is stored
} Slots;

extern Slots slots;

void add_floats(float *to, int count);
void add_weight(Linear *linear);

// Store the tensor of a slot where it goes, `bits` being those of packed weights or of floats; 0 when it does not fit.
int fill_slot(int index, const void *from, size_t bytes, int bits);
int all_filled(void);
