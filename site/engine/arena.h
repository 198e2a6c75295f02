// The one place that memory comes from: it is laid out when a model is loaded and never grows.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct {
  char *base;     // NULL: only count
  uint64_t used;  // of more than there can be, too
} Arena;

// Bytes of zeros, aligned to 64; while only counting, NULL.
void *take(Arena *arena, uint64_t bytes);

#define TAKE(arena, type, count) ((type *)take(arena, (uint64_t)(count) * sizeof(type)))
