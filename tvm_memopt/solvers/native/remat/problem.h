// The rematerialisation problem as flat arrays: what native/remat.py packs.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "../order/problem.h"

namespace memopt {

// Ops keep the graph's numbers, so 0, 1, 2 … is a valid order. Tensors are the planned ones that some op
// reads or writes, or that are returned, numbered densely. A pair's `source` and `target` are such numbers.
struct RematProblem {
  int32_t ops = 0;
  int32_t tensors = 0;
  int64_t orphans = 0;  // bytes of arena inputs that nobody reads: held during the first step only
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
