// How many steps of products of bytes a layer's weights let be summed in 16 bits.
#pragma once

#include "gemm.h"

// The longest run, of 8, 4, 2 or 1 steps, whose sums stay within 16 bits whatever the activations 0 … 255 are; 0 where
// not even the products of one step do.
int longest_run(const Linear *linear);
