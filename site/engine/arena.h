// The one place that memory comes from: it is laid out when a model is loaded and never grows.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct {
  char *base;     // NULL: only count
  uint64_t used;  // may exceed what there is
} Arena;

// Bytes of zeros, aligned to 64; while only counting, NULL.
void *arena_alloc(Arena *arena, uint64_t bytes);

#define ARENA_ALLOC(arena, type, count) ((type *)arena_alloc(arena, (uint64_t)(count) * sizeof(type)))
