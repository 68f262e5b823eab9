/*
 * A memory meter for LD_PRELOAD. While it is on, it records every heap block of the process. A recorded
 * block is tracked until it is freed, even if the meter is off by then.
 *
 * Each block belongs to one category:
 *   DEVICE     aligned block allocated by TVM's CPU device allocator: storages of the virtual machine
 *   WORKSPACE  the same, inside TVMBackendAllocWorkspace: scratch that TVM's pool keeps for kernels
 *   FOREIGN    block with alignment >= 64 allocated by any other library
 *   HOST       everything else: objects, strings, containers
 * Two further counters do not correspond to separate blocks:
 *   ALIGNED    DEVICE + WORKSPACE + FOREIGN
 *   REQUESTED  bytes that kernels hold between TVMBackendAllocWorkspace and TVMBackendFreeWorkspace,
 *              before the pool rounds them up to its pages
 *
 * The block table is allocated with mmap, so that the meter does not measure itself.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))
#define THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))

enum { DEVICE, WORKSPACE, FOREIGN, HOST, ALIGNED, REQUESTED, COUNTERS };
enum { ALLOCATED, FREED };
enum { TVM_ALIGNMENT = 64 };

struct counter {
  uint64_t current, peak, total, blocks;
};

struct event {
  uint64_t kind, category, nbytes, alignment, address;
};

struct block {
  uint64_t key, nbytes, category, alignment;
};

static const uint64_t EMPTY = 0, REMOVED = 2;

static struct counter counters[COUNTERS];
static struct block *table;
static size_t table_capacity, table_filled; /* table_filled includes REMOVED slots */
static atomic_size_t table_live;
static struct event *events;
static size_t events_capacity, events_seen;
static atomic_int on;
static int log_host;
static atomic_flag guard = ATOMIC_FLAG_INIT;
static uintptr_t tvm_low, tvm_high;
THREAD_LOCAL int in_workspace_pool;

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void *(*real_memalign)(size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void (*real_free)(void *);
static void *(*real_workspace_alloc)(int, int, uint64_t, int, int);
static int (*real_workspace_free)(int, int, void *);

/* Memory for allocations that dlsym makes before the real allocator is known. It is never freed. */
static _Alignas(16) char early[16384];
static size_t early_used;
static atomic_int resolving;

static int is_early(const void *address) {
  return (const char *)address >= early && (const char *)address < early + sizeof early;
}

static void *early_alloc(size_t nbytes) {
  size_t rounded = (nbytes + 15) & ~(size_t)15;
  if (rounded < nbytes || rounded > sizeof early - early_used) return NULL;
  void *address = early + early_used;
  early_used += rounded;
  return address;
}

__attribute__((constructor)) static void resolve(void) {
  if (real_free || atomic_exchange(&resolving, 1)) return;
  real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
  real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
  real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
  real_memalign = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
  real_aligned_alloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
  real_posix_memalign = (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
  real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
}

static void lock(void) {
  while (atomic_flag_test_and_set_explicit(&guard, memory_order_acquire)) sched_yield();
}

static void unlock(void) { atomic_flag_clear_explicit(&guard, memory_order_release); }

static void *map(size_t nbytes) {
  void *address = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return address == MAP_FAILED ? NULL : address;
}

static size_t slot_of(uint64_t key) { return (size_t)((key >> 4) * 0x9E3779B97F4A7C15ull >> 20) & (table_capacity - 1); }

static struct block *find(uint64_t key) {
  if (!table_capacity) return NULL;
  for (size_t i = slot_of(key);; i = (i + 1) & (table_capacity - 1)) {
    if (table[i].key == key) return &table[i];
    if (table[i].key == EMPTY) return NULL;
  }
}

static void place(struct block block) {
  size_t i = slot_of(block.key);
  while (table[i].key > REMOVED) i = (i + 1) & (table_capacity - 1);
  table_filled += table[i].key == EMPTY;
  table[i] = block;
}

static int make_room(void) {
  if (table_filled * 2 < table_capacity) return 1;
  struct block *old = table;
  size_t old_capacity = table_capacity, wanted = 1 << 14;
  while (wanted < atomic_load(&table_live) * 4) wanted *= 2;
  struct block *fresh = map(wanted * sizeof *fresh);
  if (!fresh) return 0;
  table = fresh, table_capacity = wanted, table_filled = 0;
  for (size_t i = 0; i < old_capacity; i++)
    if (old[i].key > REMOVED) place(old[i]);
  if (old) munmap(old, old_capacity * sizeof *old);
  return 1;
}

static void count(int category, uint64_t nbytes) {
  struct counter *counter = &counters[category];
  counter->current += nbytes;
  counter->total += nbytes;
  counter->blocks++;
  if (counter->current > counter->peak) counter->peak = counter->current;
}

static void write_event(int kind, const struct block *block) {
  if (!atomic_load(&on) || (block->category == HOST && !log_host)) return;
  if (events_seen < events_capacity)
    events[events_seen] = (struct event){kind, block->category, block->nbytes, block->alignment, block->key & ~(uint64_t)1};
  events_seen++;
}

static void record(uint64_t key, size_t nbytes, size_t alignment, int category) {
  struct block block = {key, nbytes, category, alignment};
  lock();
  if (make_room()) {
    place(block);
    atomic_fetch_add(&table_live, 1);
    count(category, nbytes);
    if (category < HOST) count(ALIGNED, nbytes);
    write_event(ALLOCATED, &block);
  }
  unlock();
}

/* Must run before the block is returned to the allocator, since another thread may get its address immediately. */
static struct block forget(uint64_t key) {
  struct block gone = {0};
  if (!atomic_load(&table_live)) return gone;
  lock();
  struct block *block = find(key);
  if (block) {
    gone = *block;
    block->key = REMOVED;
    atomic_fetch_sub(&table_live, 1);
    counters[gone.category].current -= gone.nbytes;
    if (gone.category < HOST) counters[ALIGNED].current -= gone.nbytes;
    write_event(FREED, &gone);
  }
  unlock();
  return gone;
}

static int category_of(size_t alignment, uintptr_t caller) {
  if (alignment < TVM_ALIGNMENT) return HOST;
  if (in_workspace_pool) return WORKSPACE;
  return caller >= tvm_low && caller < tvm_high ? DEVICE : FOREIGN;
}

static void *seen(void *address, size_t nbytes, size_t alignment, void *caller) {
  if (address && atomic_load(&on)) record((uint64_t)(uintptr_t)address, nbytes, alignment, category_of(alignment, (uintptr_t)caller));
  return address;
}

#define READY(function) (function || (resolve(), function != NULL))

EXPORT void *malloc(size_t nbytes) {
  if (!READY(real_malloc)) return early_alloc(nbytes);
  return seen(real_malloc(nbytes), nbytes, 0, NULL);
}

EXPORT void *calloc(size_t items, size_t nbytes) {
  if (!READY(real_calloc)) return items && nbytes > sizeof early / items ? NULL : early_alloc(items * nbytes);
  return seen(real_calloc(items, nbytes), items * nbytes, 0, NULL);
}

EXPORT void *realloc(void *old, size_t nbytes) {
  if (is_early(old) || !READY(real_realloc)) {
    void *fresh = malloc(nbytes);
    size_t readable = old ? (size_t)(early + sizeof early - (char *)old) : 0;
    if (fresh && old) memcpy(fresh, old, nbytes < readable ? nbytes : readable);
    return fresh;
  }
  struct block gone = forget((uint64_t)(uintptr_t)old);
  void *fresh = real_realloc(old, nbytes);
  if (!fresh && nbytes && gone.key) record(gone.key, gone.nbytes, gone.alignment, (int)gone.category);
  return seen(fresh, nbytes, 0, NULL);
}

EXPORT void *memalign(size_t alignment, size_t nbytes) {
  if (!READY(real_memalign)) return NULL;
  return seen(real_memalign(alignment, nbytes), nbytes, alignment, __builtin_return_address(0));
}

EXPORT void *aligned_alloc(size_t alignment, size_t nbytes) {
  if (!READY(real_aligned_alloc)) return NULL;
  return seen(real_aligned_alloc(alignment, nbytes), nbytes, alignment, __builtin_return_address(0));
}

EXPORT int posix_memalign(void **address, size_t alignment, size_t nbytes) {
  if (!READY(real_posix_memalign)) return ENOMEM;
  int status = real_posix_memalign(address, alignment, nbytes);
  if (!status) seen(*address, nbytes, alignment, __builtin_return_address(0));
  return status;
}

EXPORT void free(void *address) {
  if (!address || is_early(address) || !READY(real_free)) return;
  forget((uint64_t)(uintptr_t)address);
  real_free(address);
}

/* The pool's functions are in a library that may have been opened with RTLD_LOCAL, where RTLD_NEXT misses them. */
static void *tvm_symbol(const char *name) {
  void *symbol = dlsym(RTLD_NEXT, name);
  if (symbol) return symbol;
  void *runtime = dlopen("libtvm_runtime.so", RTLD_LAZY | RTLD_NOLOAD);
  return runtime ? dlsym(runtime, name) : NULL;
}

EXPORT void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes, int type_code, int type_bits) {
  if (!real_workspace_alloc)
    real_workspace_alloc = (void *(*)(int, int, uint64_t, int, int))tvm_symbol("TVMBackendAllocWorkspace");
  if (!real_workspace_alloc) return NULL;
  in_workspace_pool++;
  void *address = real_workspace_alloc(device_type, device_id, nbytes, type_code, type_bits);
  in_workspace_pool--;
  /* The pool may return a block that has just been recorded. Bit 0 distinguishes the two keys. */
  if (address && atomic_load(&on)) record((uint64_t)(uintptr_t)address | 1, nbytes, 0, REQUESTED);
  return address;
}

EXPORT int TVMBackendFreeWorkspace(int device_type, int device_id, void *address) {
  if (!real_workspace_free) real_workspace_free = (int (*)(int, int, void *))tvm_symbol("TVMBackendFreeWorkspace");
  if (!real_workspace_free) return -1;
  forget((uint64_t)(uintptr_t)address | 1);
  return real_workspace_free(device_type, device_id, address);
}

static int find_tvm(struct dl_phdr_info *library, size_t size, void *unused) {
  (void)size, (void)unused;
  if (!library->dlpi_name || !strstr(library->dlpi_name, "libtvm_runtime.so")) return 0;
  for (int i = 0; i < library->dlpi_phnum; i++) {
    if (library->dlpi_phdr[i].p_type != PT_LOAD) continue;
    uintptr_t low = library->dlpi_addr + library->dlpi_phdr[i].p_vaddr, high = low + library->dlpi_phdr[i].p_memsz;
    if (!tvm_low || low < tvm_low) tvm_low = low;
    if (high > tvm_high) tvm_high = high;
  }
  return 1;
}

/*
 * Switches the meter on with an empty log of `capacity` events. Bytes already allocated stay in `current`,
 * and the peak starts from there. `total` and `blocks` start at zero. Returns 0 or an errno.
 */
EXPORT int memopt_meter_start(size_t capacity, int host_events) {
  if (!dl_iterate_phdr(find_tvm, NULL)) return ENOENT;
  struct event *fresh = capacity ? map(capacity * sizeof *fresh) : NULL;
  if (capacity && !fresh) return ENOMEM;
  lock();
  if (events) munmap(events, events_capacity * sizeof *events);
  events = fresh, events_capacity = capacity, events_seen = 0, log_host = host_events;
  for (int i = 0; i < COUNTERS; i++) counters[i] = (struct counter){counters[i].current, counters[i].current, 0, 0};
  atomic_store(&on, 1);
  unlock();
  return 0;
}

EXPORT void memopt_meter_stop(void) { atomic_store(&on, 0); }

EXPORT void memopt_meter_read(struct counter *into) {
  lock();
  memcpy(into, counters, sizeof counters);
  unlock();
}

/* Copies up to `room` events and returns the total number of events, which may exceed the log's capacity. */
EXPORT size_t memopt_meter_events(struct event *into, size_t room) {
  lock();
  size_t kept = events_seen < events_capacity ? events_seen : events_capacity;
  if (kept > room) kept = room;
  if (kept) memcpy(into, events, kept * sizeof *events);
  size_t total = events_seen;
  unlock();
  return total;
}
