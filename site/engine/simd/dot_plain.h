// Dot products of plain SIMD: of 16-bit integers, 2 products per 32-bit lane.
#pragma once

#include "simd/isa.h"
#include "simd/simd.h"

typedef int16_t Act;
typedef int16_t Weight;
enum { INT8_OPERANDS = 0 };

INLINE V dot(V weights, V acts, V sum) { return dot_int16(weights, acts, sum); }

INLINE ActType detect_act_type(void) { return ACT_INT16; }
