// The rematerialisation problem as flat arrays, as packed by native/remat/__init__.py.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "../order/problem.h"

namespace memopt {

// Ops keep the graph's numbers, so 0, 1, 2 … is a valid order. Tensors are the planned ones that are read, written or
// returned, numbered consecutively. `source` and `target` of a pair are such numbers.
struct RematProblem {
  int32_t ops = 0;
  int32_t tensors = 0;
  int64_t orphans = 0;  // bytes of unread arena inputs: live at the first step only
  RowsOwned before, after;
  RowsOwned reads, writes;
  std::vector<int32_t> producer;    // per tensor: op, or -1 for an arena input
  std::vector<uint8_t> returned;    // per tensor
  std::vector<uint8_t> shared_in;   // per tensor: whether it is the source of a pair
  std::vector<uint8_t> repeatable;  // per op
  std::vector<int64_t> nbytes, workspace;
  std::vector<double> cost;
  std::vector<int32_t> pair_start;
  std::vector<InplacePair> pairs;

  RematProblem(std::span<const int32_t> index, std::span<const int64_t> bytes, std::span<const double> costs);

  std::span<const InplacePair> pairs_of(int32_t op) const {
    return {pairs.data() + pair_start[op], static_cast<size_t>(pair_start[op + 1] - pair_start[op])};
  }
};

}  // namespace memopt
