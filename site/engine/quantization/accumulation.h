// How many products of bytes can be accumulated in 16 bits.
#pragma once

#include "quantization/qparams.h"

// The accumulation depth of weights [outs / 8][ins / GROUP][8][GROUP]: the most steps, 8, 4, 2 or 1, whose sums stay
// within 16 bits whatever the activations 0 … 255 are; 0 where not even the products of one step do. 1 in a build that
// accumulates in 32 bits.
int accumulation_depth(const Weight *weights, int outs, int ins);

// Whether the products of one step stay within 16 bits for what attention quantizes: in the activation's place and in
// the weight's.
int products_fit_int16(Quantizer acts, Quantizer weights);
