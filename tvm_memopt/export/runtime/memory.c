// Filling and copying memory, eight bytes at a time where the addresses allow it.
#include <stddef.h>
#include <stdint.h>

void* memset(void* to, int value, size_t nbytes) {
  unsigned char* at = to;
  uint64_t pattern = 0x0101010101010101ull * (unsigned char)value;
  for (; nbytes > 0 && ((uintptr_t)at & 7) != 0; --nbytes) *at++ = (unsigned char)value;
  for (; nbytes >= 8; nbytes -= 8, at += 8) *(uint64_t*)at = pattern;
  for (; nbytes > 0; --nbytes) *at++ = (unsigned char)value;
  return to;
}

void* memcpy(void* restrict to, const void* restrict from, size_t nbytes) {
  unsigned char* at = to;
  const unsigned char* source = from;
  if (((((uintptr_t)at) ^ (uintptr_t)source) & 7) == 0) {
    for (; nbytes > 0 && ((uintptr_t)at & 7) != 0; --nbytes) *at++ = *source++;
    for (; nbytes >= 8; nbytes -= 8, at += 8, source += 8) *(uint64_t*)at = *(const uint64_t*)source;
  }
  for (; nbytes > 0; --nbytes) *at++ = *source++;
  return to;
}

void* memmove(void* to, const void* from, size_t nbytes) {
  unsigned char* at = to;
  const unsigned char* source = from;
  if (at <= source || at >= source + nbytes) return memcpy(to, from, nbytes);
  while (nbytes-- > 0) at[nbytes] = source[nbytes];
  return to;
}

// Names under which LLVM calls copies of whole words.
void* __hexagon_memcpy_likely_aligned_min32bytes_mult8bytes(void* to, const void* from, size_t nbytes) {
  return memcpy(to, from, nbytes);
}

void hexagon_memcpy_forward_vp4cp4n2(volatile void* to, const volatile void* from, unsigned words) {
  for (unsigned i = 0; i < words; ++i) ((volatile uint32_t*)to)[i] = ((const volatile uint32_t*)from)[i];
}
