// A static program: tables that its generated source defines, and what a platform provides.
#ifndef MEMOPT_H_
#define MEMOPT_H_

#include <stddef.h>
#include <stdint.h>

// DLPack's tensor.
typedef struct {
  void* data;
  struct {
    int32_t type, id;
  } device;
  int32_t ndim;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} DLTensor;

// tvm-ffi's TVMFFIAny, and its type indices for what kernels take.
enum { MEMOPT_INTEGER = 1, MEMOPT_TENSOR = 7 };
typedef struct {
  int32_t type;
  uint32_t padding;
  union {
    int64_t integer;
    DLTensor* tensor;
  } value;
} memopt_any;
typedef int32_t memopt_kernel(void* self, const memopt_any* arguments, int32_t count, memopt_any* result);

typedef struct {
  memopt_kernel* kernel;
  const char* name;
  const memopt_any* arguments;
  uint32_t count;
} memopt_call;

typedef struct {
  const char* name;
  unsigned char* data;
  uint32_t nbytes;
} memopt_value;

// The program's tables. Two lines of cache follow the arena, which no kernel may write.
enum { MEMOPT_GUARD_NBYTES = 256 };
extern unsigned char memopt_arena[];
extern const uint64_t memopt_arena_nbytes;
extern const memopt_call memopt_calls[];
extern const memopt_value memopt_inputs[], memopt_outputs[];
extern const uint32_t memopt_call_count, memopt_input_count, memopt_output_count;

// The platform.
typedef struct {
  uint64_t instructions, packets, vector_packets;
} memopt_counts;
int memopt_read(void* to, size_t nbytes);           // 0, or -1 if fewer bytes came
int memopt_write(const void* from, size_t nbytes);  // 0, or -1
void memopt_complain(const char* text);
void memopt_count(memopt_counts* counts);   // adds what ran since the last call
extern memopt_counts memopt_call_counts[];  // one for each call

// A file's content under a label, in a section of its own.
#define MEMOPT_INCLUDE(section, label, file)                                                     \
  __asm__(".pushsection " section "\n.balign 128\n.globl " label "\n" label ":\n.incbin \"" file \
          "\"\n.byte 0\n.popsection\n");

#endif  // MEMOPT_H_
