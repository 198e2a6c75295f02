#include "loading/unpack.h"

#include "contract.h"

size_t packed_row_bytes(int columns, int bits) { return ((size_t)columns * bits + 7) / 8; }

enum { CODES = 8 };  // that are read at once: as many bytes as they have bits

// How codes are read: code j begins in byte bytes[2j], and lies at bits 8 … of its two bytes times factors[j];
// `middle` is the code of 0.
typedef struct {
  V bytes, factors, mask, middle;
} Unpacking;

static Unpacking unpacking_of(int bits) {
  uint8_t bytes[2 * CODES];
  uint16_t factors[CODES];
  for (int j = 0; j < CODES; j++) {
    bytes[2 * j] = (uint8_t)(j * bits / 8), bytes[2 * j + 1] = bytes[2 * j] + 1;
    factors[j] = (uint16_t)(1 << (8 - j * bits % 8));
  }
  const int16_t mask = (int16_t)((1 << bits) - 1), middle = (int16_t)(1 << (bits - 1));
  return (Unpacking){load(bytes), load(factors), wasm_i16x8_splat(mask), wasm_i16x8_splat(middle)};
}

// Eight weights as 16-bit integers, of which those from `count` on are zeros; reads 8 bytes.
INLINE V unpack_codes(const uint8_t *packed, const Unpacking *unpacking, int count) {
  const V pairs = wasm_i8x16_swizzle(wasm_v128_load64_zero(packed), unpacking->bytes);
  const V codes = wasm_v128_and(wasm_u16x8_shr(wasm_i16x8_mul(pairs, unpacking->factors), 8), unpacking->mask);
  const V present = wasm_i16x8_lt(wasm_i16x8_make(0, 1, 2, 3, 4, 5, 6, 7), wasm_i16x8_splat((int16_t)count));
  return wasm_v128_and(wasm_i16x8_sub(codes, unpacking->middle), present);
}

// Store eight weights of a column as bytes, or as 16-bit integers.
INLINE void store_weights(int int8, int32_t *to, V weights) {
  if (int8) weights = wasm_i8x16_narrow_i16x8(weights, weights);
  wasm_v128_store32_lane(to, weights, 0), wasm_v128_store32_lane(to + COLUMNS, weights, 1);
  if (int8) return;
  wasm_v128_store32_lane(to + 2 * COLUMNS, weights, 2), wasm_v128_store32_lane(to + 3 * COLUMNS, weights, 3);
}

void unpack_weight(Linear *l, const uint8_t *packed, int bits) {
  const int ins = padded_ins(l);
  const Unpacking unpacking = unpacking_of(bits);
  for (int n = 0; n < l->outs; n++) {
    const uint8_t *row = packed + n * packed_row_bytes(l->ins, bits);
    for (int k = 0; k < l->ins; k += CODES, row += bits) {
      const V weights = unpack_codes(row, &unpacking, l->ins - k);
      if (l->int16) store_weights(0, (int32_t *)((int16_t *)l->weight + weight_index(INT16_GROUP, n, k, ins)), weights);
      else store_weights(INT8_OPERANDS, (int32_t *)((Weight *)l->weight + weight_index(GROUP, n, k, ins)), weights);
    }
  }
}

typedef union {
  uint32_t bits;
  float value;
} FloatBits;

// A float16's bits as float32: normal numbers are shifted into place, subnormal ones scaled by their exponent.
INLINE float half_to_float(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
  FloatBits number = {.bits = rest << 13};
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
  for (int k = 0; k < count; k++) to[k] = half_to_float(((const uint16_t *)from)[k]);
}
