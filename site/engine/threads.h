// Several instances on one memory: who does which rows, and how they wait for each other.
#pragma once

#include <stdint.h>

// Rows begin … end - 1.
typedef struct {
  int begin, end;
} RowRange;

// The rows of thread `thread` of `threads`, when `rows`, a multiple of 4, are dealt out in groups of 4.
RowRange rows_of_thread(int rows, int thread, int threads);

// Wait until all threads are here. Spins for some microseconds, then sleeps.
void barrier(int threads);

// A job of the first `threads` threads: one image, or a batch of one image each.
typedef struct {
  uint32_t number;  // in the order of jobs; its low bits say the rest
  int threads, batch;
} Job;

// Begin a job in the other threads than the first, which wait for one.
void start_job(int threads, int batch);

// Sleep until there is another job than `last` that the thread is in, and put it there; 0 once jobs have ended.
int wait_for_job(int thread, Job *last);
void end_jobs(void);
