// Simulated annealing on schedules with repeats: least cost within a memory budget.
#pragma once

#include "moves.h"

namespace memopt {

struct RematOptions {
  RematSwitches switches;
  bool repeats = true;  // false: only the order changes
  bool adapt = true;    // let the weight of bytes over the budget follow how often the search is within it
  int64_t moves = 0;
  double hot = 0.01;  // first and last temperature, as parts of the cost with every op once
  double cold = 0.00001;
  double weight = 0.1;  // of one budget's worth of bytes over the budget for one step, same unit
  uint64_t seed = 0;
  double target = 0;  // stop within the budget at this cost
};

struct RematFound {
  std::vector<int32_t> schedule;
  int64_t made = 0;  // moves tried
};

// The cheapest schedule within the budget that was seen, or, if there was none, the one of least peak.
RematFound anneal_remat(const RematProblem& problem, std::span<const int32_t> start, int64_t budget, int32_t longest,
                        const RematOptions& options, const Control& control);

}  // namespace memopt
