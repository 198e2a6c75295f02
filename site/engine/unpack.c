#include "unpack.h"

size_t packed_row_bytes(int columns, int bits) { return ((size_t)columns * bits + 7) / 8; }

// Read a row of codes, and hand each level to where it belongs.
INLINE void unpack_row(const uint8_t *packed, int columns, int bits, int8_t *levels) {
  const int middle = 1 << (bits - 1), mask = (1 << bits) - 1;
  uint32_t held = 0;
  int count = 0;
  for (int k = 0; k < columns; k++) {
    if (count < bits) held |= (uint32_t)*packed++ << count, count += 8;
    levels[k] = (int8_t)((int)(held & mask) - middle);
    held >>= bits, count -= bits;
  }
}

enum { CHUNK = 64 };  // levels read before they are placed, whole bytes at any number of bits

void unpack_weight(Linear *l, const uint8_t *packed, int bits) {
  const int ins = padded_ins(l);
  int8_t levels[CHUNK];
  for (int n = 0; n < l->outs; n++) {
    const uint8_t *row = packed + n * packed_row_bytes(l->ins, bits);
    for (int from = 0; from < l->ins; from += CHUNK, row += CHUNK * bits / 8) {
      const int count = l->ins - from < CHUNK ? l->ins - from : CHUNK;
      unpack_row(row, count, bits, levels);
      if (l->floats) {
        float *to = l->dense + ((size_t)(n / COLUMNS) * ins + from) * COLUMNS + n % COLUMNS;
        for (int k = 0; k < count; k++) to[k * COLUMNS] = levels[k];
      } else {
        Weight *to = l->weight + weight_place(GROUP, n, from, ins);
        for (int k = 0; k < count; k++) to[k / GROUP * (COLUMNS * GROUP) + k % GROUP] = levels[k];
      }
    }
  }
}

// A float16's bits as float32: normal numbers are shifted into place, subnormal ones scaled by their exponent.
INLINE float from_half(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
  union { uint32_t bits; float value; } number = {rest << 13};
  if (rest >= 0x7c00) number.bits += 0x70000000;  // not a finite number, nor is it one as float32
  else number.value *= 0x1p112f;
  number.bits |= sign;
  return number.value;
}

void widen_floats(const void *from, int bits, float *to, int count) {
  if (bits == 32) {
    __builtin_memcpy(to, from, (size_t)count * sizeof(float));
    return;
  }
  for (int k = 0; k < count; k++) to[k] = from_half(((const uint16_t *)from)[k]);
}
