// Reads inputs from the standard input, runs the program once, and writes a report and the outputs to the standard
// output. Everything has the byte order of the machine; tvm_memopt/export/outcome.py is the other end.
#include "memopt.h"

enum { MAGIC_IN = 0x314d4d49, MAGIC_OUT = 0x314d4d4f };

typedef struct {
  uint32_t magic, fill;  // fill: the byte that the arena is filled with before the run
} request;
typedef struct {
  uint32_t magic, failed, calls, outputs;  // failed: number of the call that failed, from 1; 0: none
  uint64_t arena, arena_nbytes, touched, overrun, arguments;
} report;

static int64_t place(const memopt_any* argument) {
  if (argument->type != MEMOPT_TENSOR) return -2;
  uintptr_t address = (uintptr_t)argument->value.tensor->data, arena = (uintptr_t)memopt_arena;
  int inside = address >= arena && address < arena + memopt_arena_nbytes;
  return inside ? (int64_t)(address - arena) : -1;
}

static uint32_t run(memopt_counts* counts) {
  memopt_counts unused = {0, 0, 0};
  for (uint32_t i = 0; i < memopt_call_count; ++i) {
    memopt_any result = {0, 0, {0}};
    const memopt_call* call = &memopt_calls[i];
    memopt_count(&unused);
    int32_t status = call->kernel(0, call->arguments, (int32_t)call->count, &result);
    memopt_count(&counts[i]);
    if (status != 0) return i + 1;
  }
  return 0;
}

// The end of what differs from the fill, and how many bytes after the arena do.
static void look(report* found, unsigned char fill) {
  for (uint64_t i = memopt_arena_nbytes; i > 0 && !found->touched; --i)
    if (memopt_arena[i - 1] != fill) found->touched = i;
  for (uint32_t i = 0; i < MEMOPT_GUARD_NBYTES; ++i) found->overrun += memopt_arena[memopt_arena_nbytes + i] != fill;
}

static int answer(report* found, const memopt_counts* counts) {
  for (uint32_t i = 0; i < memopt_call_count; ++i) found->arguments += memopt_calls[i].count;
  if (memopt_write(found, sizeof *found) || memopt_write(counts, sizeof *counts * memopt_call_count)) return 1;
  for (uint32_t i = 0; i < memopt_call_count; ++i) {
    for (uint32_t j = 0; j < memopt_calls[i].count; ++j) {
      int64_t at = place(&memopt_calls[i].arguments[j]);
      if (memopt_write(&at, sizeof at)) return 1;
    }
  }
  for (uint32_t i = 0; i < memopt_output_count; ++i)
    if (memopt_write(memopt_outputs[i].data, memopt_outputs[i].nbytes)) return 1;
  return 0;
}

int main(void) {
  request asked;
  if (memopt_read(&asked, sizeof asked) || asked.magic != MAGIC_IN) {
    memopt_complain("the request is not one for this program\n");
    return 2;
  }
  for (uint32_t i = 0; i < memopt_input_count; ++i) {
    if (memopt_read(memopt_inputs[i].data, memopt_inputs[i].nbytes)) {
      memopt_complain("the inputs are too short\n");
      return 2;
    }
  }
  unsigned char fill = (unsigned char)asked.fill;
  for (uint64_t i = 0; i < memopt_arena_nbytes + MEMOPT_GUARD_NBYTES; ++i) memopt_arena[i] = fill;
  report found = {MAGIC_OUT, 0, memopt_call_count, memopt_output_count, (uintptr_t)memopt_arena, memopt_arena_nbytes, 0,
                  0,         0};
  found.failed = run(memopt_call_counts);
  look(&found, fill);
  return answer(&found, memopt_call_counts);
}
