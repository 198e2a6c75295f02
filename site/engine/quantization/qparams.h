// How floats are quantized to what a dot instruction multiplies: activations, at run time, and weights, which are from
// the file or, in attention, keys and values.
#pragma once

#include "simd/dot.h"

// The type as which this machine reads activations, once `detect_act_type` has told.
extern ActType act_type;

// q = clamp(round(x / scale), qmin, qmax). A scale of 0 is dynamic, from the largest magnitude of a row; one below 0
// is dynamic from a row's range, whose values q then are at most `qmax` apart.
typedef struct {
  float scale, qmin, qmax;
} Quantizer;

// A quantizer for this machine's dot instruction: what is multiplied is q + zero_point. A row whose range is dynamic
// has a zero point of its own, so that its least value becomes this one.
typedef struct {
  float scale, qmin, qmax;
  int zero_point;
} QParams;

// Of activations.
QParams act_qparams(Quantizer quantizer, ActType type);

// Of what takes the weight's place, which holds -128 … 127 where it is a byte.
QParams weight_qparams(Quantizer quantizer, ActType type);
