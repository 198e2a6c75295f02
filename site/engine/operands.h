// What a dot instruction multiplies: activations (from float, at run time) and weights (from the file, or keys and
// values), as bytes or as 16-bit integers. Tests emulate the instructions of machines other than theirs: EMULATED_DOT
// is then its Dot.
#pragma once

#include "simd.h"

// What there is in a build:
//   relaxed  sums 4 products of bytes per lane
//   pairs    (PAIRS) sums 2 products of bytes per 16-bit lane, which weights, keys and values must leave room for
//   plain    sums 2 products of 16-bit integers per lane
#if defined(__wasm_relaxed_simd__) || defined(EMULATED_DOT)
#define BYTES 1
typedef uint8_t Act;
typedef int8_t Weight;
#else
#define BYTES 0
typedef int16_t Act;
typedef int16_t Weight;
#endif

enum {
  ROWS = 4,                                     // rows of activations that a tile has
  COLUMNS = 8,                                  // outputs that a tile has
  PAD = 8,                                      // lengths of sums are multiples of this, in memory
  GROUP = sizeof(int32_t) / sizeof(Weight),     // neighbouring weights of an output, which lie side by side
  WORD_GROUP = sizeof(int32_t) / sizeof(int16_t),
};

// How the relaxed instruction takes its second operand, the activation; the standard leaves all but 7 bits open.
typedef enum {
  DOT_NONE,      // there is no such instruction in this build
  DOT_UNSIGNED,  // as bytes 0 … 255 (x86)
  DOT_SIGNED,    // as bytes -128 … 127 (ARM)
  DOT_OTHER,     // what this build cannot use: another one does
} Dot;

extern Dot dot_kind;

// What the instruction finds: products taken as unsigned, as signed, or saturated.
Dot probe_dot(void);

// Integer levels low … high of a float: level = clamp(round(x / scale)). A scale of 0 is found from the largest
// magnitude of a row; one below 0 from a row's least and greatest value, which then are at most `high` levels apart.
typedef struct {
  float scale, low, high;
} Quantizer;

// A quantizer as this machine's dot instruction takes it: an operand is level + offset, which a row whose range is
// found at run time chooses itself, so that its least level becomes `offset`.
typedef struct {
  float scale, low, high;
  int offset;
} Operand;

Operand to_operand(Quantizer quantizer, Dot dot);

// The same for what takes the weight's place, which holds -128 … 127 where it is a byte.
Operand to_weight(Quantizer quantizer, Dot dot);

// Rows of activations lie in fours, [length / group][4 rows][group]: such a step is 4 bytes of each.
typedef struct {
  int32_t row[ROWS];
} Step;

// Where the weight of an output column at place k lies: [length / group][8 columns][group] for every 8 columns.
INLINE size_t weight_place(int group, int column, int k, int length) {
  return ((size_t)(column / COLUMNS) * length + k / group * group) * COLUMNS + column % COLUMNS * group + k % group;
}
