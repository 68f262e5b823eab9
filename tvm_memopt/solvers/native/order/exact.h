// Deciding a budget by searches from both ends.
#pragma once

#include "search.h"

namespace memopt {

// `order`: a complete order within the budget if feasible, else any valid order. `states`: number of sets visited.
struct Decision {
  Verdict verdict = Verdict::kUnknown;
  std::vector<int32_t> order;
  int64_t states = 0;
};

// Decides whether some order of `problem` holds at most `budget` bytes at every step. The part that one end settles is
// cut off before the other end is searched. Limits grow until `limits` are reached.
Decision decide(const Problem& problem, int64_t budget, SearchSwitches switches, SearchLimits limits,
                const Control& control);

}  // namespace memopt
