// The platform of a Hexagon program without an operating system's library: entry point, system calls of Linux, and
// QEMU's counters. Silicon has no such counters: there, memopt_count would read the processor's cycle counter.
#include "memopt.h"

enum { READ = 63, WRITE = 64, EXIT = 94 };

int main(void);

static int system_call(int number, int first, int second, int third) {
  register int r6 __asm__("r6") = number;
  register int r0 __asm__("r0") = first;
  register int r1 __asm__("r1") = second;
  register int r2 __asm__("r2") = third;
  __asm__ volatile("trap0(#1)" : "+r"(r0) : "r"(r6), "r"(r1), "r"(r2) : "memory");
  return r0;
}

__asm__(
    ".globl _start\n"
    "_start:\n"
    "  { r29 = and(r29, #-128) }\n"
    "  { call memopt_start }\n");

__attribute__((used)) void memopt_start(void) {
  system_call(EXIT, main(), 0, 0);
  __builtin_unreachable();
}

int memopt_read(void* to, size_t nbytes) {
  for (unsigned char* at = to; nbytes > 0;) {
    int got = system_call(READ, 0, (int)at, (int)nbytes);
    if (got <= 0) return -1;
    at += got, nbytes -= (size_t)got;
  }
  return 0;
}

int memopt_write(const void* from, size_t nbytes) {
  for (const unsigned char* at = from; nbytes > 0;) {
    int put = system_call(WRITE, 1, (int)at, (int)nbytes);
    if (put <= 0) return -1;
    at += put, nbytes -= (size_t)put;
  }
  return 0;
}

void memopt_complain(const char* text) {
  int length = 0;
  while (text[length]) ++length;
  system_call(WRITE, 2, (int)text, length);
}

// QEMU's user mode keeps counts in the control registers c20 to c22: packets, instructions and packets with vector
// instructions. Assemblers have no names for these registers, so the transfers to r0 are given by their bits.
static uint32_t packets_now(void) {
  register uint32_t r0 __asm__("r0");
  __asm__ volatile(".word 0x6a14c000" : "=r"(r0));
  return r0;
}

static uint32_t instructions_now(void) {
  register uint32_t r0 __asm__("r0");
  __asm__ volatile(".word 0x6a15c000" : "=r"(r0));
  return r0;
}

static uint32_t vector_packets_now(void) {
  register uint32_t r0 __asm__("r0");
  __asm__ volatile(".word 0x6a16c000" : "=r"(r0));
  return r0;
}

void memopt_count(memopt_counts* counts) {
  static uint32_t instructions, packets, vector_packets;
  uint32_t now = instructions_now(), packets_at = packets_now(), vectors_at = vector_packets_now();
  counts->instructions += now - instructions;  // the registers have 32 bits and wrap around
  counts->packets += packets_at - packets;
  counts->vector_packets += vectors_at - vector_packets;
  instructions = now, packets = packets_at, vector_packets = vectors_at;
}
