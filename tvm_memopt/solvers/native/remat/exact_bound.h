// A lower bound on the repeats that a state still needs, from the first runs still to come.
//
// Let o be an op that has not run. Consider a storage with a reader that runs after o, which exists now or will exist
// before o can run. It is live when o first runs, or its producer runs again later. The bytes that do not fit beside
// o's own must come from storages whose producers may run again: at best those of lowest cost per byte, the last in
// part.
#pragma once

#include <algorithm>
#include <vector>

#include "exact_problem.h"

namespace memopt {

class CrossingBound {
 public:
  CrossingBound(const RecomputeProblem& problem, int64_t budget) : problem_(problem), budget_(budget) {
    const int32_t n = static_cast<int32_t>(problem.ops.size()), count = static_cast<int32_t>(problem.storages.size());
    std::vector<Bits> ancestors(n);  // ops are in topological order
    for (int32_t o = 0; o < n; ++o) {
      problem.ops[o].before.each([&](int32_t p) {
        ancestors[o] = ancestors[o] | ancestors[p];
        ancestors[o].add(p);
      });
    }
    beyond_.resize(n);
    ready_.resize(n);
    room_.resize(n);
    share_.resize(count, 0.0);
    for (int32_t i = 0; i < count; ++i) {
      const auto& storage = problem.storages[i];
      for (int32_t o = 0; o < n; ++o) {
        bool crosses = problem.returned.has(i);
        storage.readers.each([&](int32_t reader) { crosses = crosses || ancestors[reader].has(o); });
        if (crosses && !problem.ops[o].reads.has(i) && !problem.ops[o].writes.has(i)) beyond_[o].add(i);
        if (storage.producer >= 0 && ancestors[o].has(storage.producer)) ready_[o].add(i);
      }
      if (storage.producer >= 0)
        share_[i] =
            static_cast<double>(problem.ops[storage.producer].cost) / problem.ops[storage.producer].writes.count();
      by_ratio_.push_back(i);
    }
    for (int32_t o = 0; o < n; ++o) room_[o] = budget_ - problem.step_bytes(o, Bits(), false);
    std::stable_sort(by_ratio_.begin(), by_ratio_.end(), [&](int32_t a, int32_t b) {
      return share_[a] * problem_.storages[b].nbytes < share_[b] * problem_.storages[a].nbytes;
    });
  }

  // Cost of repeats beyond those of the ops of `must`, which are already counted; more than `most` if they cannot fit.
  // `produced`: storages whose producer has run. `never`: ops that cannot run again.
  int64_t further_cost(const Bits& done, const Bits& kept, const Bits& produced, const Bits& must, const Bits& never,
                       int64_t most) const {
    double worst = 0;
    for (int32_t o = 0; o < static_cast<int32_t>(room_.size()); ++o) {
      if (done.has(o)) continue;
      const Bits crossing = beyond_[o] & (kept | (ready_[o] - produced));
      int64_t excess = problem_.nbytes(crossing) - room_[o];
      if (excess <= 0) continue;
      double cost = 0;
      for (const int32_t i : by_ratio_) {
        if (excess <= 0) break;
        const int32_t producer = problem_.storages[i].producer;
        if (!crossing.has(i) || producer < 0 || never.has(producer)) continue;
        const int64_t nbytes = problem_.storages[i].nbytes;
        if (!must.has(producer))
          cost += nbytes > excess ? share_[i] * static_cast<double>(excess) / static_cast<double>(nbytes) : share_[i];
        excess -= nbytes;
      }
      if (excess > 0) return most + 1;
      worst = std::max(worst, cost);
      if (worst > static_cast<double>(most) + 1) break;
    }
    return static_cast<int64_t>(worst * (1 - 1e-12));
  }

 private:
  const RecomputeProblem& problem_;
  int64_t budget_;
  std::vector<Bits> beyond_;   // per op: storages that it does not touch and that outlive it
  std::vector<Bits> ready_;    // per op: storages that exist once it can run
  std::vector<int64_t> room_;  // per op: the budget less the bytes that it touches
  std::vector<double> share_;  // per storage: its share of its producer's cost
  std::vector<int32_t> by_ratio_;
};

}  // namespace memopt
