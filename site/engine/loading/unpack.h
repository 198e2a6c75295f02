// Weights and floats from the file to the kernels' layouts.
#pragma once

#include "kernels/gemm.h"

// Bytes of a row of `columns` integers packed at `bits`.
size_t packed_row_bytes(int columns, int bits);

// Store packed rows (bit i of code j is bit j · bits + i of its row; q = code - 2^(bits - 1)) as a layer's weight.
void unpack_weight(Linear *linear, const uint8_t *packed, int bits);

// Float32 from float16 (`bits` 16) or float32 (32).
void widen_floats(const void *from, int bits, float *to, int count);
