#include "slots.h"

#include "contract.h"
#include "unpack.h"

Slots slots;

static void add_slot(Slot slot, size_t bytes) {
  if (slots.count < MOST_SLOTS) slots.slots[slots.count] = slot;
  slots.count++;
  if (bytes > slots.largest) slots.largest = bytes;
}

void add_floats(float *to, int count) { add_slot((Slot){.floats = to, .count = count}, (size_t)count * sizeof(float)); }

void add_weight(Linear *linear) { add_slot((Slot){.weight = linear}, packed_row_bytes(linear->ins, MAX_PACKED_BITS) * linear->outs); }

static int is_right(const Slot *slot, size_t bytes, int bits) {
  if (slot->weight) return bits >= MIN_PACKED_BITS && bits <= MAX_PACKED_BITS && bytes == packed_row_bytes(slot->weight->ins, bits) * slot->weight->outs;
  return (bits == FLOAT_BITS_F16 || bits == FLOAT_BITS_F32) && bytes == (size_t)slot->count * bits / 8;
}

int fill_slot(int index, const void *from, size_t bytes, int bits) {
  if (index < 0 || index >= slots.count || index >= MOST_SLOTS || !is_right(&slots.slots[index], bytes, bits)) return 0;
  Slot *slot = &slots.slots[index];
  if (slot->weight) unpack_weight(slot->weight, from, bits);
  else widen_floats(from, bits, slot->floats, slot->count);
  slot->filled = 1;
  return 1;
}

int all_filled(void) {
  for (int i = 0; i < slots.count; i++) {
    if (!slots.slots[i].filled) return 0;
  }
  return 1;
}
