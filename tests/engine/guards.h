// The compiler is told to include this before everything else.
#pragma once

#include "arena.h"

void add_guard(Arena *arena);

#define ADD_GUARD(arena) add_guard(arena)
