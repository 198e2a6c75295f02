// How many steps of products of bytes can be summed in 16 bits.
#pragma once

#include "operands.h"

// The longest run, of 8, 4, 2 or 1 steps, whose sums stay within 16 bits whatever the activations 0 … 255 are; 0 where
// not even the products of one step do. `weights` are [outs / 8][ins / GROUP][8][GROUP].
int longest_run(const Weight *weights, int outs, int ins);

// Whether one step's do for what is quantized at run time, attention's operands and those in the weight's place.
int leave_room(Quantizer acts, Quantizer weights);
