// The relaxed dot instructions. Tests define RELAXED_DOT_IS_EMULATED and functions that do as other machines' do.
#pragma once

#include "simd/simd.h"

#ifndef RELAXED_DOT_IS_EMULATED

// Sums of 4 products of bytes per 32-bit lane, added to `sum`.
INLINE V relaxed_dot_quads(V weights, V acts, V sum) {
  return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(weights, acts, sum);
}

// Sums of 2 products of bytes per 16-bit lane, saturated.
INLINE V relaxed_dot_pairs(V weights, V acts) { return wasm_i16x8_relaxed_dot_i8x16_i7x16(weights, acts); }

#endif
