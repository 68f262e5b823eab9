// Deciding a budget by forced precedences, search over executed sets, and branching on pairs of ops.
#pragma once

#include "bound.h"
#include "exact.h"

namespace memopt {

struct BranchSwitches {
  SearchSwitches search;
  bool forcing = true;
  bool branching = true;
};

struct BranchDecision {
  Verdict verdict = Verdict::kUnknown;
  std::vector<int32_t> order;  // if feasible
  int64_t bound = 0;           // lower bound on the peak of every order
};

// Is there an order within the budget? If forcing and a limited search leave it undecided, one of two ops runs first:
// both cases are tried, each with the corresponding arc.
BranchDecision branch(const Problem& problem, int64_t budget, BranchSwitches switches, SearchLimits limits,
                      const Control& control);

}  // namespace memopt
