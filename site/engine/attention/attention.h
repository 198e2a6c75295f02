// Attention in integers: scores from quantized queries and keys, softmax in float, its result and the values quantized.
#pragma once

#include "attention/layout.h"

// Whether the sums of its products do not overflow in this build.
int attention_fits(const AttentionLayer *layer, const AttentionSizes *sizes);

// From all keys and values: out[row][heads · head_dim], for whole groups of 4 rows.
void attend(AttentionRows rows, Keys keys, const Weight *values, AttentionScratch scratch, float *out);
