// Lower bounds by minimum cuts, and the precedences that a budget forces.
//
// When op v runs, the executed set W contains all ancestors of v, but neither v nor a descendant of it. The minimum
// over such W of live(W), plus what the step of v adds, is therefore a lower bound on the peak of every order. It is a
// minimum cut over the ops that are free to run before or after v. Under a budget B, the same cut says more. If the
// least W that contains u holds more than B, u runs after v in every order within B. If the least W without u does, u
// runs before v. Such arcs are added to the graph, which raises the other cuts, until nothing changes or some cut
// exceeds B. In the latter case no order has a peak of B or less.
#pragma once

#include "../control.h"
#include "cut.h"

namespace memopt {

// The transitive closure of a partial order, as bit rows, with added arcs.
class Precedence {
 public:
  explicit Precedence(const Problem& problem);

  bool before(int32_t a, int32_t b) const { return before_[row(b) + (a >> 6)] >> (a & 63) & 1; }

  // Adds that a runs before b. False if b already runs before a.
  bool add(int32_t a, int32_t b);

  // Number of ops that may run before or after `op`.
  int32_t free_beside(int32_t op) const;

  // The added arcs.
  const std::vector<std::pair<int32_t, int32_t>>& arcs() const { return arcs_; }

 private:
  size_t row(int32_t op) const { return static_cast<size_t>(op) * words_; }
  void join(std::vector<uint64_t>& rows, int32_t into, const std::vector<uint64_t>& from) {
    for (size_t w = 0; w < words_; ++w) rows[row(into) + w] |= from[w];
  }

  int32_t ops_;
  size_t words_;
  std::vector<uint64_t> before_, after_;  // strict ancestors and descendants of each op
  std::vector<std::pair<int32_t, int32_t>> arcs_;
};

// Least bytes live during the step of one op, over all sets that can precede it.
class StepCut {
 public:
  StepCut(const Problem& problem, const Precedence& precedence)
      : problem_(problem), precedence_(precedence), node_(problem.ops), share_(problem.tensors, 0) {}

  // A lower bound on the step of `op`. Afterwards, `flow` and `node` describe the cut.
  int64_t bound(int32_t op);

  // Elementary steps since the last call.
  int64_t take_work() { return flow.take_work() + std::exchange(built_, 0); }

  Flow flow;
  // Ops that may run before or after the op of the last bound(), and their nodes.
  std::vector<int32_t> free_ops;
  int32_t node(int32_t op) const { return node_[op]; }

 private:
  int64_t build(int32_t op);
  int64_t add_tensor(int32_t t, int32_t op);
  int64_t add_part(int32_t t, int64_t bytes, int32_t ignored_reader);

  const Problem& problem_;
  const Precedence& precedence_;
  std::vector<int32_t> node_;
  std::vector<int64_t> share_;  // per tensor: bytes that an output of the op may share
  int64_t built_ = 0;
};

// The largest bound over the steps of all ops, those of `first` before the rest, as far as time allows.
int64_t step_bound(const Problem& problem, std::span<const int32_t> first, const Control& control);

// Precedences and bounds under a budget, tightened to a fixed point. Copies are independent.
class Forcing {
 public:
  Forcing(const Problem& problem, int64_t budget);

  // Adds the precedences forced by the steps of the `most` tightest ops. False if no order is within the budget.
  bool run(size_t most, const Control& control);

  // Adds that a runs before b. False if b already runs before a.
  bool add(int32_t a, int32_t b) { return precedence_.add(a, b); }

  const Precedence& precedence() const { return precedence_; }

  // A lower bound on the peak of every order within the budget.
  int64_t largest() const;

  // The pair of ops for which the cheaper order costs most, cheaper order first; (-1, -1) if all costs are 0.
  std::pair<int32_t, int32_t> open_pair() const { return open_pair_; }

 private:
  bool refresh(size_t most, StepCut& cut, const Control& control);
  bool probe(int32_t op, StepCut& cut, const Control& control);

  const Problem* problem_;
  int64_t budget_;
  Precedence precedence_;
  std::vector<int64_t> bound_;
  std::vector<int32_t> order_;          // ops, tightest first
  std::vector<int32_t> free_at_bound_;  // number of ops free beside the op when its bound was computed
  std::vector<size_t> arcs_at_probe_;
  std::pair<int32_t, int32_t> open_pair_{-1, -1};
  int64_t open_score_ = 0;
  int32_t open_op_ = -1;
};

// Renumbers the ops along a valid order, which is returned, and turns the added arcs into dependences of the problem.
std::vector<int32_t> tightened(Problem& problem, const Precedence& precedence);

}  // namespace memopt
