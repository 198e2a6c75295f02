// What both halves of attention need.
#pragma once

#include "attention.h"

INLINE Quantizer quantizer_of(AttentionRows rows, int operand, int head) {
  const int heads = rows.sizes->heads;
  const float *at = rows.layer->numbers + (size_t)operand * 3 * heads + head;
  return (Quantizer){at[0], at[heads], at[2 * heads]};
}
