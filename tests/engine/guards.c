// A build for fuzzing has zeros between what the arena hands out, and tells whether somebody has written there.
#include "guards.h"

#include "arena.h"
#include "simd/simd.h"

enum { GUARD_BYTES = 64, MAX_GUARDS = 8192 };

static char *guards[MAX_GUARDS];
static int count;

void add_guard(Arena *arena) {
  char *at = arena->base ? arena->base + (size_t)arena->used : NULL;
  if (at == NULL) count = 0;
  else if (count < MAX_GUARDS) guards[count++] = __builtin_memset(at, 0, GUARD_BYTES);
  arena->used += GUARD_BYTES;
}

// How many guards have been written to, but for the last: it is that of the staging area, which the page fills.
EXPORT(broken_guards) int broken_guards(void) {
  int broken = 0;
  for (int i = 0; i < count - 1; i++) {
    int written = 0;
    for (int k = 0; k < GUARD_BYTES; k++) written |= guards[i][k];
    broken += written != 0;
  }
  return broken;
}
