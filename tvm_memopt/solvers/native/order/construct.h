// Constructive orders, each in one pass over the edges.
#pragma once

#include "../control.h"
#include "state.h"

namespace memopt {

enum class Construction : int64_t {
  kKahn = 0,
  kDfs = 1,
  kGreedyPeak = 2,
  kGreedyDelta = 3,
  kReversePeak = 4,
  kReverseDelta = 5,
  kRandom = 6
};

// `seed` is used by kRandom only, which draws the next op uniformly from the ready ones.
std::vector<int32_t> construct(const Problem& problem, Construction how, uint64_t seed);

}  // namespace memopt
