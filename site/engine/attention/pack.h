// Keys and values in the layout of weights, and the corrections of their sums.
#pragma once

#include "attention/layout.h"

// 1. Quantize the keys of the rows, and find the largest magnitude [heads · head_dim] of each channel of their values.
void pack_keys(AttentionRows rows, Keys keys, float *scratch_row);
void value_absmax(AttentionRows rows, float *magnitudes);

// 2. From the largest magnitudes [parts][heads · head_dim] of all rows, quantize the values of these rows to `values`,
// per head [head_dim / 8][padded / GROUP][8][GROUP], and sum the quantized values of each channel.
void scale_values(AttentionRows rows, const float *magnitudes, int parts, AttentionScratch scratch);
void pack_values(AttentionRows rows, AttentionScratch scratch, Weight *values, int32_t *sums);

// 3. From the sums [parts][heads · head_dim] of all rows, derive the corrections for the probabilities' zero point.
void correct_values(AttentionRows rows, const int32_t *sums, int parts, AttentionScratch scratch);
