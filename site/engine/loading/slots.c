#include "loading/slots.h"

#include "contract.h"
#include "loading/unpack.h"

Slots slots;

static void add_slot(Slot slot, size_t bytes) {
  if (slots.count < MAX_SLOTS) slots.slots[slots.count] = slot;
  slots.count++;
  if (bytes > slots.max_bytes) slots.max_bytes = bytes;
}

void add_floats(float *to, int count) { add_slot((Slot){.floats = to, .count = count}, (size_t)count * sizeof(float)); }

void add_weight(Linear *linear) {
  add_slot((Slot){.weight = linear}, packed_row_bytes(linear->ins, MAX_PACKED_BITS) * linear->outs);
}

static int matches(const Slot *slot, size_t bytes, int bits) {
  const Linear *l = slot->weight;
  if (l) return bits >= MIN_PACKED_BITS && bits <= MAX_PACKED_BITS && bytes == packed_row_bytes(l->ins, bits) * l->outs;
  return (bits == FLOAT_BITS_F16 || bits == FLOAT_BITS_F32) && bytes == (size_t)slot->count * bits / 8;
}

int fill_slot(int index, const void *from, size_t bytes, int bits) {
  if (index < 0 || index >= slots.count || index >= MAX_SLOTS || !matches(&slots.slots[index], bytes, bits)) return 0;
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
