// Least recomputation within a memory budget: an exact best-first search over (ops executed, storages kept).
//
// A state's estimate is the cost of its repeats plus that of the ops that must run again whatever comes: producers
// of missing storages that are still wanted, and of what those read. It never overestimates, so the first complete
// state that is taken up is the cheapest. A state is not worth keeping beside one of the same executed set that
// costs no more and keeps all that it keeps. Storages are dropped only in a step that would not fit otherwise, and
// then in every smallest way: dropping more can wait for the next step.
//
// All reasoning is within a cost limit. `slack` is what the limit leaves over the estimate: an op that need not run
// again anyway and costs more than that never will. Two rules follow.
//   Dead: a storage is dropped at once when it is not returned and every reader has run and never will again.
//   Safe: op o runs at once where the step fits, o never runs again, and it writes no more than it frees for good,
// counting an input only where it cannot be computed again and o is its last reader. Proof: in any completion take
// o's run from its place T and put it here. Until T that completion held those inputs for o, since nothing could
// bring them back; now it holds what o writes instead, which is no more. Ops that write nothing of weight are safe.
#pragma once

#include <vector>

#include "../control.h"
#include "exact_problem.h"

namespace memopt {

enum class RecomputeVerdict { kNone, kFound, kUnknown };

// `cost`: of the repeats alone. kNone: no schedule within the budget has repeats of at most the limit.
struct RecomputeAnswer {
  RecomputeVerdict verdict = RecomputeVerdict::kUnknown;
  int64_t cost = 0;
  int64_t states = 0;
  std::vector<int32_t> schedule;
};

RecomputeAnswer least_recompute(const RecomputeProblem& problem, int64_t budget, int64_t cost_limit, bool safe_moves,
                                size_t memory, const Control& control);

}  // namespace memopt
