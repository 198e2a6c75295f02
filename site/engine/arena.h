// The one place that memory comes from: it is laid out when a model is loaded and never grows.
#pragma once

#include <stddef.h>

typedef struct {
  char *base;   // NULL: only count
  size_t used;
} Arena;

// Bytes of zeros, aligned to 64; while only counting, NULL.
void *take(Arena *arena, size_t bytes);

#define TAKE(arena, type, count) ((type *)take(arena, (size_t)(count) * sizeof(type)))
