#include "threads.h"

#include "contract.h"

RowRange rows_of_thread(int rows, int thread, int threads) {
  const int groups = rows / 4, up = threads - 1;  // rounded up: the first thread always has the first rows
  return (RowRange){(groups * thread + up) / threads * 4, (groups * (thread + 1) + up) / threads * 4};
}

#ifdef __wasm_atomics__

enum { SPINS = 4000 };  // some microseconds, longer than threads of equal work are usually apart
static const int64_t FOREVER = -1;

static uint32_t arrived, generation;  // of `barrier`
static uint32_t job, ended;           // the job's number, of which the low bits say what it is
enum { BATCH = 32, JOB_STEP = 64 };   // the low bits: the number of threads, and whether it is a batch

// Sleep while `*at` is `old`. A function of its own: the baseline compiler of V8 11.3 (Node 20) loses the values of
// local variables that live across this instruction.
__attribute__((noinline)) static void sleep_while(uint32_t *at, uint32_t old) {
  __builtin_wasm_memory_atomic_wait32((int *)at, (int)old, FOREVER);
}

// Wait until `*at` is no longer `old`.
static void wait_for_change(uint32_t *at, uint32_t old, int spins) {
  for (int spin = 0; spin < spins; spin++) {
    if (__atomic_load_n(at, __ATOMIC_ACQUIRE) != old) return;
  }
  while (__atomic_load_n(at, __ATOMIC_ACQUIRE) == old) sleep_while(at, old);
}

static void store_and_notify(uint32_t *at, uint32_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELEASE);
  __builtin_wasm_memory_atomic_notify((int *)at, MAX_THREADS);
}

void barrier(int threads) {
  if (threads == 1) return;
  const uint32_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == (uint32_t)threads) {
    __atomic_store_n(&arrived, 0, __ATOMIC_RELEASE);
    store_and_notify(&generation, now + 1);
  } else {
    wait_for_change(&generation, now, SPINS);
  }
}

void start_job(int threads, int batch) {
  store_and_notify(&job, (job / JOB_STEP + 1) * JOB_STEP + (uint32_t)(threads + (batch ? BATCH : 0)));
}

// A job that the thread is in cannot end without it, so none of those is missed.
int wait_for_job(int thread, Job *last) {
  for (;;) {
    wait_for_change(&job, last->number, 0);
    const uint32_t seen = __atomic_load_n(&job, __ATOMIC_ACQUIRE);  // before `ended`, which is set before the last one
    if (__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) return 0;
    *last = (Job){seen, (int)(seen % BATCH), seen / BATCH % 2 != 0};
    if (thread < last->threads) return 1;
  }
}

void end_jobs(void) {
  __atomic_store_n(&ended, 1, __ATOMIC_RELEASE);
  start_job(0, 0);
}

#else

void barrier(int threads) { (void)threads; }
void start_job(int threads, int batch) { (void)threads, (void)batch; }

#endif
