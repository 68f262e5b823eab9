// Deciding a budget from both ends.
#pragma once

#include "search.h"

namespace memopt {

// `order` is a complete order within the budget when feasible, else any valid order. `states`: sets visited.
struct Decision {
  Verdict verdict = Verdict::kUnknown;
  std::vector<int32_t> order;
  int64_t states = 0;
};

// Whether some order of `problem` holds at most `budget` bytes at every step. What one end settles for good
// is cut off before the other end is searched, with growing limits, until `limits` are spent.
Decision decide(const Problem& problem, int64_t budget, SearchSwitches switches, SearchLimits limits,
                const Control& control);

}  // namespace memopt
