// Constructive orders: one pass over the edges each.
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

// `seed` matters to kRandom alone, which draws the next op evenly from the ready ones.
std::vector<int32_t> construct(const Problem& problem, Construction how, uint64_t seed);

}  // namespace memopt
