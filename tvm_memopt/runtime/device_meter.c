/*
 * The memory meter for a TVM RPC server that was started without it. A session uploads this library and loads it.
 * It cannot replace the allocator of a running process, so it redirects libtvm_runtime's own imports of it: the slots
 * of the global offset table that lead to posix_memalign, aligned_alloc, memalign and free. Scratch memory is reached
 * through the pointers in compiled modules. Blocks of other libraries are not seen, so HOST and FOREIGN stay at 0.
 *
 * Link with -z nodelete, for the redirected slots must stay valid, and -Bsymbolic, for the names below must not mean
 * the C library's functions. The functions follow TVM's packed convention.
 */
#include "interposer.c"

#include <elf.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { JUMP_SLOT = 7, GLOBAL_DATA = 6 };
#elif defined(__aarch64__)
enum { JUMP_SLOT = 1026, GLOBAL_DATA = 1025 };
#elif defined(__arm__)
enum { JUMP_SLOT = 22, GLOBAL_DATA = 21 };
#elif defined(__riscv) && __riscv_xlen == 64
enum { JUMP_SLOT = 5, GLOBAL_DATA = 2 };
#else
#error "the relocation numbers of this processor are not known here"
#endif

#if UINTPTR_MAX > 0xffffffffu
#define SYMBOL_OF(info) ((info) >> 32)
#define TYPE_OF(info) ((info) & 0xffffffffu)
#else
#define SYMBOL_OF(info) ((info) >> 8)
#define TYPE_OF(info) ((info) & 0xff)
#endif

enum { MOST_LIBRARIES = 256, INTEGER = 1, TENSOR_POINTER = 7 }; /* types of tvm/ffi/c_api.h */

/* tvm/ffi/c_api.h and dlpack.h, as far as they are needed. */
typedef struct {
  int32_t type;
  uint32_t padding;
  union {
    int64_t integer;
    void *pointer;
  } value;
} any;
typedef struct {
  void *data;
  int32_t device_type, device_id, dimensions;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} tensor;

static struct {
  const char *name;
  void *wrapper;
} redirected[] = {
    {"posix_memalign", (void *)posix_memalign},
    {"aligned_alloc", (void *)aligned_alloc},
    {"memalign", (void *)memalign},
    {"free", (void *)free},
};

static const char *library_names[MOST_LIBRARIES];
static int library_count, slots_redirected;

static void set_slot(void **slot, void *value) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)slot & ~(page - 1);
  if (*slot == value) return;
  if (mprotect((void *)start, page, PROT_READ | PROT_WRITE)) return; /* the slot may be read-only after relocation */
  *slot = value;
}

static uintptr_t address_in(const struct dl_phdr_info *library, uintptr_t value) {
  return value < library->dlpi_addr ? library->dlpi_addr + value : value; /* some processors keep it unrelocated */
}

static void redirect(const struct dl_phdr_info *library, uintptr_t table, size_t nbytes, size_t entry,
                     const ElfW(Sym) * symbols, const char *names) {
  for (uintptr_t at = table; at + entry <= table + nbytes; at += entry) {
    const ElfW(Rel) *relocation = (const ElfW(Rel) *)at; /* the start of a Rela is a Rel */
    size_t type = TYPE_OF(relocation->r_info);
    if (type != JUMP_SLOT && type != GLOBAL_DATA) continue;
    const char *name = names + symbols[SYMBOL_OF(relocation->r_info)].st_name;
    for (size_t i = 0; i < sizeof redirected / sizeof *redirected; i++) {
      if (strcmp(name, redirected[i].name)) continue;
      set_slot((void **)(library->dlpi_addr + relocation->r_offset), redirected[i].wrapper);
      slots_redirected++;
    }
  }
}

static int visit(struct dl_phdr_info *library, size_t size, void *unused) {
  (void)size, (void)unused;
  if (library->dlpi_name && *library->dlpi_name && library_count < MOST_LIBRARIES)
    library_names[library_count++] = library->dlpi_name;
  if (!library->dlpi_name || !strstr(library->dlpi_name, "libtvm_runtime.so")) return 0;
  uintptr_t found[40] = {0}; /* by tag; the tags of interest are below 40 */
  for (int i = 0; i < library->dlpi_phnum; i++) {
    if (library->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(library->dlpi_addr + library->dlpi_phdr[i].p_vaddr);
    for (; entry->d_tag != DT_NULL; entry++)
      if (entry->d_tag > 0 && entry->d_tag < 40) found[entry->d_tag] = entry->d_un.d_ptr;
  }
  if (!found[DT_SYMTAB] || !found[DT_STRTAB]) return 0;
  const ElfW(Sym) *symbols = (const ElfW(Sym) *)address_in(library, found[DT_SYMTAB]);
  const char *names = (const char *)address_in(library, found[DT_STRTAB]);
  size_t linkage = found[DT_PLTREL] == DT_RELA ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel));
  if (found[DT_JMPREL])
    redirect(library, address_in(library, found[DT_JMPREL]), found[DT_PLTRELSZ], linkage, symbols, names);
  if (found[DT_RELA])
    redirect(library, address_in(library, found[DT_RELA]), found[DT_RELASZ], sizeof(ElfW(Rela)), symbols, names);
  if (found[DT_REL])
    redirect(library, address_in(library, found[DT_REL]), found[DT_RELSZ], sizeof(ElfW(Rel)), symbols, names);
  return 0;
}

/* Compiled modules call the scratch pool through pointers of their own, which TVM fills in when it loads them. */
static void redirect_scratch(void) {
  for (int i = 0; i < library_count; i++) {
    void *library = dlopen(library_names[i], RTLD_LAZY | RTLD_NOLOAD);
    if (!library) continue;
    void **slot = dlsym(library, "__TVMBackendAllocWorkspace");
    if (slot) set_slot(slot, (void *)TVMBackendAllocWorkspace);
    slot = dlsym(library, "__TVMBackendFreeWorkspace");
    if (slot) set_slot(slot, (void *)TVMBackendFreeWorkspace);
    dlclose(library);
  }
}

static int integer(any *result, int64_t value) {
  result->type = INTEGER, result->padding = 0, result->value.integer = value;
  return 0;
}

#define PACKED(name) EXPORT int __tvm_ffi_##name(void *self, const any *arguments, int32_t count, any *result)
#define NEEDS(number) \
  (void)self, (void)arguments; \
  if (count != (number)) return integer(result, -EINVAL)

/* Starts to count, with an empty log of that many events. 0, or an error number. */
PACKED(memopt_meter_begin) {
  NEEDS(1);
  library_count = slots_redirected = 0;
  dl_iterate_phdr(visit, NULL);
  if (!slots_redirected) return integer(result, ENOENT);
  redirect_scratch();
  return integer(result, memopt_meter_start((size_t)arguments[0].value.integer, 0));
}

PACKED(memopt_meter_end) {
  NEEDS(0);
  memopt_meter_stop();
  return integer(result, 0);
}

/* (category, field) of the counters: bytes or blocks. */
PACKED(memopt_meter_counter) {
  NEEDS(2);
  struct counter found[COUNTERS];
  memopt_meter_read(found);
  const uint64_t *fields = (const uint64_t *)&found[arguments[0].value.integer];
  return integer(result, (int64_t)fields[arguments[1].value.integer]);
}

/* Copies events into an int64 tensor of shape (n, 5), and returns how many there are. */
PACKED(memopt_meter_log) {
  NEEDS(1);
  if (arguments[0].type != TENSOR_POINTER) return integer(result, -EINVAL);
  const tensor *into = arguments[0].value.pointer;
  return integer(result, (int64_t)memopt_meter_events(into->data, (size_t)into->shape[0]));
}

/* The address of a tensor's data on the device. */
PACKED(memopt_meter_address) {
  NEEDS(1);
  if (arguments[0].type != TENSOR_POINTER) return integer(result, -EINVAL);
  const tensor *of = arguments[0].value.pointer;
  return integer(result, (int64_t)(uintptr_t)((char *)of->data + of->byte_offset));
}
