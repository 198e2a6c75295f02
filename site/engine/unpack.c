#include "unpack.h"

#include "contract.h"

size_t packed_row_bytes(int columns, int bits) { return ((size_t)columns * bits + 7) / 8; }

enum { TOGETHER = 8 };  // codes that are read at once: as many bytes as they have bits

// How codes become levels: code j begins in byte places[2j], and lies at bits 8 … of its two bytes times factors[j].
typedef struct {
  V places, factors, mask, middle;
} Unpacking;

static Unpacking unpacking_of(int bits) {
  uint8_t places[2 * TOGETHER];
  uint16_t factors[TOGETHER];
  for (int j = 0; j < TOGETHER; j++) {
    places[2 * j] = (uint8_t)(j * bits / 8), places[2 * j + 1] = places[2 * j] + 1;
    factors[j] = (uint16_t)(1 << (8 - j * bits % 8));
  }
  const int16_t mask = (int16_t)((1 << bits) - 1), middle = (int16_t)(1 << (bits - 1));
  return (Unpacking){load(places), load(factors), wasm_i16x8_splat(mask), wasm_i16x8_splat(middle)};
}

// Eight levels (int16), of which those from `count` on are zeros; reads 8 bytes.
INLINE V eight_levels(const uint8_t *packed, const Unpacking *how, int count) {
  const V pairs = wasm_i8x16_swizzle(wasm_v128_load64_zero(packed), how->places);
  const V codes = wasm_v128_and(wasm_u16x8_shr(wasm_i16x8_mul(pairs, how->factors), 8), how->mask);
  const V there = wasm_i16x8_lt(wasm_i16x8_make(0, 1, 2, 3, 4, 5, 6, 7), wasm_i16x8_splat((int16_t)count));
  return wasm_v128_and(wasm_i16x8_sub(codes, how->middle), there);
}

// Place eight levels of a column as bytes, or as 16-bit integers.
INLINE void place_levels(int bytes, int32_t *to, V levels) {
  if (bytes) levels = wasm_i8x16_narrow_i16x8(levels, levels);
  wasm_v128_store32_lane(to, levels, 0), wasm_v128_store32_lane(to + COLUMNS, levels, 1);
  if (bytes) return;
  wasm_v128_store32_lane(to + 2 * COLUMNS, levels, 2), wasm_v128_store32_lane(to + 3 * COLUMNS, levels, 3);
}

void unpack_weight(Linear *l, const uint8_t *packed, int bits) {
  const int ins = padded_ins(l);
  const Unpacking how = unpacking_of(bits);
  for (int n = 0; n < l->outs; n++) {
    const uint8_t *row = packed + n * packed_row_bytes(l->ins, bits);
    for (int k = 0; k < l->ins; k += TOGETHER, row += bits) {
      const V levels = eight_levels(row, &how, l->ins - k);
      if (l->wide) place_levels(0, (int32_t *)((int16_t *)l->weight + weight_place(WORD_GROUP, n, k, ins)), levels);
      else place_levels(BYTES, (int32_t *)((Weight *)l->weight + weight_place(GROUP, n, k, ins)), levels);
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
  if (bits == FLOAT_BITS_F32) {
    __builtin_memcpy(to, from, (size_t)count * sizeof(float));
    return;
  }
  for (int k = 0; k < count; k++) to[k] = from_half(((const uint16_t *)from)[k]);
}
