#include "relations.h"

#include <bit>

namespace memopt {

BitMatrix ancestors_of(const Problem& problem, std::span<int32_t> redundant) {
  BitMatrix ancestors(problem.ops, problem.ops);
  size_t edge = 0;
  for (int32_t op = 0; op < problem.ops; ++op) {
    const auto before = problem.before[op];
    // The latest predecessor first: the ones it covers are redundant. Predecessors are in ascending order.
    for (size_t i = before.size(); i-- > 0;) {
      const bool covered = ancestors.at(op, before[i]);
      redundant[edge + i] = covered ? 1 : 0;
      if (covered) continue;
      ancestors.unite(op, ancestors.row(before[i]));
      ancestors.set(op, before[i]);
    }
    edge += before.size();
  }
  return ancestors;
}

BitMatrix descendants_of(const Problem& problem) {
  BitMatrix descendants(problem.ops, problem.ops);
  for (int32_t op = problem.ops - 1; op >= 0; --op) {
    for (int32_t s : problem.after[op]) {
      if (descendants.at(op, s)) continue;
      descendants.unite(op, descendants.row(s));
      descendants.set(op, s);
    }
  }
  return descendants;
}

std::vector<int64_t> forced_bytes(const Problem& problem, const BitMatrix& ancestors, const BitMatrix& descendants) {
  std::vector<int64_t> forced(problem.transient);
  std::vector<uint64_t> steps(ancestors.words());
  for (int32_t t = 0; t < problem.tensors; ++t) {
    // Steps at which the tensor is always live: ops after its producer that are ancestors of, or equal to, some reader.
    std::fill(steps.begin(), steps.end(), 0);
    for (int32_t reader : problem.readers[t]) {
      const auto row = ancestors.row(reader);
      for (size_t w = 0; w < steps.size(); ++w) steps[w] |= row[w];
      steps[reader >> 6] |= uint64_t{1} << (reader & 63);
    }
    if (const int32_t producer = problem.producer[t]; producer >= 0) {
      const auto row = descendants.row(producer);
      for (size_t w = 0; w < steps.size(); ++w) steps[w] &= row[w];
    }
    for (size_t w = 0; w < steps.size(); ++w) {
      for (uint64_t rest = steps[w]; rest != 0; rest &= rest - 1)
        forced[w * 64 + std::countr_zero(rest)] += problem.nbytes[t];
    }
  }
  return forced;
}

}  // namespace memopt
