// What both halves of attention need.
#pragma once

#include "attention.h"

INLINE Quantizer quantizer_at(const AttentionLayer *layer, int heads, int operand, int head) {
  const float *at = layer->numbers + (size_t)operand * 3 * heads + head;
  return (Quantizer){at[0], at[heads], at[2 * heads]};
}

INLINE Quantizer quantizer_of(AttentionRows rows, int operand, int head) {
  return quantizer_at(rows.layer, rows.sizes->heads, operand, head);
}
