#include "threads.h"

#include "forward.h"
#include "simd.h"

Share share_of(int rows, int thread, int threads) {
  const int groups = rows / 4, up = threads - 1;  // rounded up: the first thread always has the first rows
  return (Share){(groups * thread + up) / threads * 4, (groups * (thread + 1) + up) / threads * 4};
}

#ifdef __wasm_atomics__

enum { SPINS = 4000 };  // some microseconds, longer than threads of equal work are usually apart
static const int64_t FOREVER = -1;

static int32_t arrived, generation;  // of `meet`
static int32_t job, quitting;        // of `work`

// Sleep while `*at` is `old`. A function of its own: the baseline compiler of V8 11.3 (Node 20) loses the values of
// local variables that live across this instruction.
__attribute__((noinline)) static void sleep_while(int32_t *at, int32_t old) {
  __builtin_wasm_memory_atomic_wait32(at, old, FOREVER);
}

// Wait until `*at` is no longer `old`.
static void wait_for_change(int32_t *at, int32_t old, int spins) {
  for (int spin = 0; spin < spins; spin++) {
    if (__atomic_load_n(at, __ATOMIC_ACQUIRE) != old) return;
  }
  while (__atomic_load_n(at, __ATOMIC_ACQUIRE) == old) sleep_while(at, old);
}

static void change(int32_t *at) {
  __atomic_add_fetch(at, 1, __ATOMIC_ACQ_REL);
  __builtin_wasm_memory_atomic_notify(at, MOST_THREADS);
}

void meet(int threads) {
  if (threads == 1) return;
  const int32_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == threads) {
    __atomic_store_n(&arrived, 0, __ATOMIC_RELEASE);
    change(&generation);
  } else {
    wait_for_change(&generation, now, SPINS);
  }
}

void start_work(void) { change(&job); }

// Run a share of every job, asleep between them, until `quit`.
EXPORT(work) void work(int thread) {
  for (int32_t seen = 0;; seen++) {
    wait_for_change(&job, seen, 0);
    if (__atomic_load_n(&quitting, __ATOMIC_ACQUIRE)) return;
    forward(thread);
  }
}

EXPORT(quit) void quit(void) {
  __atomic_store_n(&quitting, 1, __ATOMIC_RELEASE);
  change(&job);
}

#else

void meet(int threads) { (void)threads; }
void start_work(void) {}

#endif
