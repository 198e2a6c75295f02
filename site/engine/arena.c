#include "arena.h"

void *arena_alloc(Arena *arena, uint64_t bytes) {
  char *at = arena->base ? arena->base + (size_t)arena->used : NULL;
  arena->used += (bytes + 63) & ~(uint64_t)63;
  if (at) __builtin_memset(at, 0, (size_t)bytes);
  return at;
}
