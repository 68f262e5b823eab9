// Simulated annealing on schedules with repeats: lowest cost within a memory budget.
#pragma once

#include "moves.h"

namespace memopt {

struct RematOptions {
  RematSwitches switches;
  bool repeats = true;  // false: only the order changes
  bool adapt = true;    // adapt the weight of bytes over the budget to how often the search is within it
  int64_t moves = 0;
  double hot = 0.01;  // first and last temperature, as fractions of the cost with every op once
  double cold = 0.00001;
  double weight = 0.1;  // of one budget's worth of bytes over the budget for one step, in the same unit
  uint64_t seed = 0;
  double target = 0;  // stop within the budget at this cost
};

struct RematFound {
  std::vector<int32_t> schedule;
  int64_t made = 0;  // moves tried
};

// The cheapest schedule seen within the budget or, if there was none, the one with the lowest peak.
RematFound anneal_remat(const RematProblem& problem, std::span<const int32_t> start, int64_t budget, int32_t longest,
                        const RematOptions& options, const Control& control);

}  // namespace memopt
