// Least recomputation within a memory budget: an exact best-first search over (ops executed, storages kept).
//
// The estimate of a state is the cost of its repeats plus that of the ops that must run again in any case: the
// producers of missing storages that are still needed, and of what those read. It never overestimates, so the first
// complete state taken from the queue is the cheapest. A state is dominated by one with the same executed set that
// costs no more and keeps all that it keeps. Storages are dropped only in a step that would not fit otherwise, and then
// in every minimal way: dropping more can wait for the next step.
//
// All reasoning is within a cost limit. `slack` is the limit less the estimate. An op that costs more than the slack
// and need not run again in any case never runs again. Two rules follow.
//   Dead: a storage is dropped immediately if it is not returned and every reader has run and never runs again.
//   Safe: op o runs immediately if the step fits, o never runs again, and it writes no more than it frees for good. An
// input counts as freed only if it cannot be recomputed and o is its last reader. Proof: in any completion, take o's
// run from its place T and put it here. Until T that completion held those inputs for o, since nothing could restore
// them. Now it holds what o writes instead, which is no more. Ops that write no bytes are always safe.
#pragma once

#include <vector>

#include "../control.h"
#include "exact_problem.h"

namespace memopt {

enum class RecomputeVerdict { kNone, kFound, kUnknown };

// `cost`: of the repeats alone. kNone: no schedule within the budget has repeats within the limit.
struct RecomputeAnswer {
  RecomputeVerdict verdict = RecomputeVerdict::kUnknown;
  int64_t cost = 0;
  int64_t states = 0;
  std::vector<int32_t> schedule;
};

RecomputeAnswer least_recompute(const RecomputeProblem& problem, int64_t budget, int64_t cost_limit, bool safe_moves,
                                size_t memory, const Control& control);

}  // namespace memopt
