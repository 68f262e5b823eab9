// What TVM's kernels call of its runtime. There are no threads: parallel loops run as one task.
#include "memopt.h"

#ifndef MEMOPT_SCRATCH_NBYTES
#define MEMOPT_SCRATCH_NBYTES (64u << 20)
#endif

// Scratch that a plan has not placed in the arena, as a stack: kernels free in reverse order.
static unsigned char scratch[MEMOPT_SCRATCH_NBYTES] __attribute__((aligned(128)));
static size_t scratch_used;

void* TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes, int code, int bits) {
  (void)device_type, (void)device_id, (void)code, (void)bits;
  size_t rounded = ((size_t)nbytes + 127) / 128 * 128;
  if (nbytes > MEMOPT_SCRATCH_NBYTES || rounded > MEMOPT_SCRATCH_NBYTES - scratch_used) {
    memopt_complain("a kernel needs more scratch memory than the program has\n");
    return 0;
  }
  unsigned char* found = scratch + scratch_used;
  scratch_used += rounded;
  return found;
}

int TVMBackendFreeWorkspace(int device_type, int device_id, void* pointer) {
  (void)device_type, (void)device_id;
  scratch_used = (size_t)((unsigned char*)pointer - scratch);
  return 0;
}

typedef struct {
  void* sync_handle;
  int32_t num_task;
} TVMParallelGroupEnv;

int TVMBackendParallelLaunch(int (*task)(int, TVMParallelGroupEnv*, void*), void* data, int num_task) {
  (void)num_task;
  int32_t done = 0;
  TVMParallelGroupEnv environment = {&done, 1};
  return task(0, &environment, data);
}

int TVMBackendParallelBarrier(int task_id, TVMParallelGroupEnv* environment) {
  (void)task_id, (void)environment;
  return 0;
}

void TVMFFIErrorSetRaisedFromCStrParts(const char* kind, const char** parts, int32_t count) {
  memopt_complain(kind);
  memopt_complain(": ");
  for (int32_t i = 0; i < count; ++i)
    if (parts[i]) memopt_complain(parts[i]);
  memopt_complain("\n");
}

void TVMFFIErrorSetRaisedFromCStr(const char* kind, const char* text) {
  TVMFFIErrorSetRaisedFromCStrParts(kind, &text, 1);
}

// Kernels call these through pointers of their own, which TVM's loader sets. Here the linker does.
void* (*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int) = TVMBackendAllocWorkspace;
int (*__TVMBackendFreeWorkspace)(int, int, void*) = TVMBackendFreeWorkspace;
int (*__TVMBackendParallelLaunch)(int (*)(int, TVMParallelGroupEnv*, void*), void*, int) = TVMBackendParallelLaunch;
int (*__TVMBackendParallelBarrier)(int, TVMParallelGroupEnv*) = TVMBackendParallelBarrier;
