// Several instances on one memory: who does which rows, and how they wait for each other.
#pragma once

// Rows of thread `thread` of `threads` when `rows`, a multiple of 4, are dealt out in groups of 4.
typedef struct {
  int first, last;
} Share;

Share share_of(int rows, int thread, int threads);

// Wait until all threads are here. Spins for some microseconds, then sleeps.
void meet(int threads);

// Begin a run in the other threads of the first `threads`, which wait in `work`: of one image, or each one's own.
void start_work(int threads, int alone);
