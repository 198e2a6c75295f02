#include "operands.h"

Dot dot_kind = DOT_NONE;

#ifdef EMULATED_DOT
Dot probe_dot(void) { return EMULATED_DOT; }
#elif defined(PAIRS)
Dot probe_dot(void) {
  volatile int8_t greatest = 64, all_bits = -1;  // volatile: the compiler must not reckon it out itself
  const V sum = wasm_i16x8_relaxed_dot_i8x16_i7x16(wasm_i8x16_splat(greatest), wasm_i8x16_splat(all_bits));
  return wasm_i16x8_extract_lane(sum, 0) == 2 * 64 * 255 ? DOT_UNSIGNED : DOT_OTHER;
}
#elif defined(__wasm_relaxed_simd__)
Dot probe_dot(void) {
  volatile int8_t greatest = 127, all_bits = -1;
  const V sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(
      wasm_i8x16_splat(greatest), wasm_i8x16_splat(all_bits), wasm_i32x4_splat(0));
  const int found = wasm_i32x4_extract_lane(sum, 0);
  return found == 4 * 127 * 255 ? DOT_UNSIGNED : found == 4 * 127 * -1 ? DOT_SIGNED : DOT_OTHER;
}
#else
Dot probe_dot(void) { return DOT_NONE; }
#endif

Operand to_operand(Quantizer q, Dot dot) {
  Operand operand = {q.scale, q.low, q.high, 0};
  if (q.scale < 0) {
    operand.offset = dot == DOT_SIGNED ? -128 : 0;
    return operand;
  }
  if (dot == DOT_UNSIGNED) operand.offset = -(int)operand.low;
  if (dot == DOT_SIGNED && (q.low < -128 || q.high > 127)) operand.offset = -128 - (int)q.low;
  return operand;
}

Operand to_weight(Quantizer q, Dot dot) {
  const int fits = dot == DOT_NONE || (q.low >= -128 && q.high <= 127);
  return (Operand){q.scale, q.low, q.high, fits ? 0 : -128 - (int)q.low};
}
