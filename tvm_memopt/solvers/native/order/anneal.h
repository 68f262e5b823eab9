// Simulated annealing on the order, with memory over time stored in a tree.
#pragma once

#include "../control.h"
#include "problem.h"

namespace memopt {

struct AnnealSwitches {
  bool smooth = true;       // log-sum-exp of the steps instead of their maximum: rewards lowering one of several peaks
  bool block_moves = true;  // an op blocked by a neighbour takes it along
};

struct AnnealOptions {
  AnnealSwitches switches;
  int64_t moves = 100'000;  // the temperature falls over this many
  double hot = 0.01;        // first and last temperature, as fractions of the initial peak
  double cold = 0.00003;
  uint64_t seed = 0;
  int64_t target = 0;  // stop at this peak
};

// The best order seen; `made` counts the moves tried.
std::vector<int32_t> anneal(const Problem& problem, const AnnealOptions& options, const Control& control,
                            int64_t& made);

}  // namespace memopt
