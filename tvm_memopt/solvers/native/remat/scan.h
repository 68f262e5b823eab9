// The change of the steps over the budget when a range of steps gains or loses bytes: the annealer's inner loop.
#pragma once

#include <cstdint>
#include <cstring>

namespace memopt {

struct Over {
  double steps = 0;
  double excess = 0;
};

#if defined(__GNUC__)

// Two steps at once: every x86-64 and AArch64 CPU has 128-bit vectors of doubles.
using Pair = double __attribute__((vector_size(16)));
using PairMask = int64_t __attribute__((vector_size(16)));

inline Over over_change(const double* held, int32_t count, double nbytes) {
  const Pair zero = {0, 0}, more = {nbytes, nbytes};
  PairMask steps = {0, 0};
  Pair excess = {0, 0};
  int32_t i = 0;
  for (; i + 2 <= count; i += 2) {
    Pair now;
    std::memcpy(&now, held + i, sizeof now);
    const Pair next = now + more;
    const PairMask was = now > zero, is = next > zero;
    steps += was - is;
    excess += (is ? next : zero) - (was ? now : zero);
  }
  Over change{static_cast<double>(steps[0] + steps[1]), excess[0] + excess[1]};
  if (i < count) {
    const double now = held[i], next = now + nbytes;
    change.steps += (next > 0) - (now > 0);
    change.excess += (next > 0 ? next : 0) - (now > 0 ? now : 0);
  }
  return change;
}

#else

inline Over over_change(const double* held, int32_t count, double nbytes) {
  Over change;
  for (int32_t i = 0; i < count; ++i) {
    const double now = held[i], next = now + nbytes;
    change.steps += (next > 0) - (now > 0);
    change.excess += (next > 0 ? next : 0) - (now > 0 ? now : 0);
  }
  return change;
}

#endif

}  // namespace memopt
