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
  std::vector<int32_t> order;  // when feasible
  int64_t bound = 0;           // no order has a peak below it
};

// Is there an order within the budget? Where forcing and a limited search leave it open, one of two ops runs
// first: both cases are tried, each with its arc.
BranchDecision branch(const Problem& problem, int64_t budget, BranchSwitches switches, SearchLimits limits,
                      const Control& control);

}  // namespace memopt
