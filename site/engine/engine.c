// What the page calls, in this order: contract, description, bytes_needed (in a first, small instance), then in an
// instance whose memory has so many bytes: description, prepare, for each tensor staging and fill, finish; then input,
// run, output, or input of several images, run_images, output of each. Other threads call work.
#include "attention/attention.h"
#include "contract.h"
#include "forward.h"
#include "loading/slots.h"
#include "model.h"
#include "threads.h"

extern char __heap_base;

static Description described;
static char *staging_area;
static Fault last_fault;
static enum { EMPTY, PREPARED, READY } state;

static int is_fault(Fault fault) {
  last_fault = fault;
  return fault != FAULT_NONE;
}

static uint64_t lay_out(char *base) {
  Arena arena = {base, 0};
  slots.count = 0, slots.max_bytes = 0;
  alloc_model(&model, &arena);
  staging_area = arena_alloc(&arena, slots.max_bytes + sizeof(V));  // weights are read 8 bytes at a time
  return arena.used;
}

INLINE char *arena_base(void) { return (char *)(((uintptr_t)&__heap_base + 63) & ~(uintptr_t)63); }

static double memory_bytes(void) { return (double)(uintptr_t)arena_base() + (double)lay_out(NULL); }

EXPORT(contract) uint32_t contract(void) { return CONTRACT_FINGERPRINT; }
EXPORT(description) Description *description(void) { return &described; }
EXPORT(fault) int fault(void) { return last_fault; }

// Bytes of memory that the described model needs; 0 with a fault.
EXPORT(bytes_needed) double bytes_needed(void) {
  if (is_fault(describe_model(&model, &described))) return 0;
  const double bytes = memory_bytes();
  return is_fault(slots.count > MAX_SLOTS || bytes > 2147483647.0 ? FAULT_TOO_LARGE : FAULT_NONE) ? 0 : bytes;
}

// Lay out the described model; return how many tensors it has, 0 with a fault.
EXPORT(prepare) int prepare(void) {
  state = EMPTY;
  const double bytes = bytes_needed();
  if (bytes == 0) return 0;
  if (is_fault(bytes > (double)__builtin_wasm_memory_size(0) * 65536 ? FAULT_NO_MEMORY : FAULT_NONE)) return 0;
  lay_out(arena_base());
  state = PREPARED;
  return slots.count;
}

EXPORT(staging) char *staging(void) { return staging_area; }

// Store the tensor that lies in the staging area as that of a slot.
EXPORT(fill) int fill(int slot, size_t bytes, int bits) {
  const int fits = state == PREPARED && bytes <= slots.max_bytes && fill_slot(slot, staging_area, bytes, bits);
  return !is_fault(fits ? FAULT_NONE : FAULT_TENSOR);
}

// Derive all that runs need on this machine; all slots must be filled.
EXPORT(finish) int finish(void) {
  if (is_fault(state == PREPARED && all_filled() ? FAULT_NONE : FAULT_STATE)) return 0;
  act_type = detect_act_type();
  if (is_fault(act_type == ACT_UNKNOWN ? FAULT_MACHINE : FAULT_NONE)) return 0;
  int fits = prepare_linear(&model.patch_embed);
  for (int i = 0; i < model.sizes.classifiers && model.sizes.classes; i++)
    fits &= prepare_linear(&model.classifiers[i]);
  for (int i = 0; i < model.sizes.depth; i++) {
    Block *block = model.blocks + i;
    fits &= prepare_linear(&block->qkv) & prepare_linear(&block->proj);
    fits &= prepare_linear(&block->fc1) & prepare_linear(&block->fc2);
    fits &= attention_fits(&block->attention, &model.attention);
  }
  if (is_fault(fits ? FAULT_NONE : FAULT_INT16_OVERFLOW)) return 0;
  state = READY;
  return 1;
}

EXPORT(input) float *input(int image) { return model.buffers[image].image; }
EXPORT(output) float *output(int image) { return model.buffers[image].output; }
EXPORT(outputs) int outputs(void) { return model.sizes.classes ? model.sizes.classes : model.sizes.dim; }
EXPORT(stack_top) char *stack_top(int thread) { return model.scratch[thread].stack + STACK_BYTES; }

// Run one image in so many of the threads that the model was described with.
EXPORT(run) int run(int threads) {
  if (is_fault(state == READY && threads >= 1 && threads <= model.sizes.threads ? FAULT_NONE : FAULT_STATE)) return 0;
  if (threads > 1) start_job(threads, 0);
  forward(0, threads);
  return 1;
}

// Run so many images at once, each in a thread of its own.
EXPORT(run_images) int run_images(int images) {
  if (is_fault(state == READY && images >= 1 && images <= model.sizes.images ? FAULT_NONE : FAULT_STATE)) return 0;
  if (images > 1) start_job(images, 1);
  forward_batch(0, images);
  return 1;
}

#ifdef __wasm_atomics__
// Do a share of every job that this thread is in, asleep between them, until `quit`.
EXPORT(work) void work(int thread) {
  for (Job job = {0}; wait_for_job(thread, &job);) {
    if (job.batch) forward_batch(thread, job.threads);
    else forward(thread, job.threads);
  }
}

EXPORT(quit) void quit(void) { end_jobs(); }
#endif
