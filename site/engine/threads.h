// Several instances on one memory: who does which rows, and how they wait for each other.
#pragma once

#include <stdint.h>

// Rows of thread `thread` of `threads` when `rows`, a multiple of 4, are dealt out in groups of 4.
typedef struct {
  int first, last;
} Share;

Share share_of(int rows, int thread, int threads);

// Wait until all threads are here. Spins for some microseconds, then sleeps.
void meet(int threads);

// Begin a run in the other threads of the first `threads`, which wait in `work`: of one image, or each one's own.
void start_work(int threads, int alone);

// A job of the first `threads` threads: one image, or `alone`, each one's own.
typedef struct {
  uint32_t number;  // in the order of jobs; its low bits say the rest
  int threads, alone;
} Job;

// Sleep until there is another job than `last` that the thread is in, and put it there; 0 once work has ended.
int wait_for_job(int thread, Job *last);
void end_work(void);
