// The instruction sets of the builds, one of which the compiler is given as ISA; each has a header of its own.
#pragma once

#define ISA_PLAIN 1    // SIMD alone: dot_plain.h
#define ISA_RELAXED 2  // relaxed SIMD, where it sums 4 products of bytes in 32 bits: dot_relaxed.h
#define ISA_PAIRS 3    // relaxed SIMD, where it sums 2 products of bytes in 16 bits: dot_pairs.h

#if ISA != ISA_PLAIN && ISA != ISA_RELAXED && ISA != ISA_PAIRS
#error "ISA must be ISA_PLAIN, ISA_RELAXED or ISA_PAIRS"
#endif

// The type as which a machine's dot instruction reads activations: relaxed SIMD leaves the eighth bit to the machine.
typedef enum {
  ACT_INT16,
  ACT_UINT8,    // x86
  ACT_INT8,     // ARM
  ACT_UNKNOWN,  // the build does not run here
} ActType;
