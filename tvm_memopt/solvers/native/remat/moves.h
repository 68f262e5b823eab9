// Moves of the rematerialisation annealer. Each edits a sequence; the caller evaluates it, then keeps or undoes it.
#pragma once

#include <limits>
#include <utility>

#include "../control.h"
#include "sequence.h"

namespace memopt {

struct RematSwitches {
  bool guided = true;       // recompute an op right before a far read of its output, across a step over the budget
  bool chains = true;       // with it, also recompute its inputs that are no longer live
  bool block_moves = true;  // a run blocked by a neighbour takes it along
  bool exchange = true;     // drop one repeat and add another in one move
};

// Most that the runs of an acceptable move may cost, each counted as its op's cost plus `run`.
struct Allowance {
  double cost = std::numeric_limits<double>::infinity();
  double run = 0;
};

class Mover {
 public:
  Mover(const RematProblem& problem, Sequence& sequence, Random& random, RematSwitches switches);

  // Edits the sequence. Returns false if the move failed; the caller then undoes any edits.
  bool propose(bool repeats, Allowance most = {});
  // Whether a move lacked a free slot since the last call.
  bool cramped() { return std::exchange(cramped_, false); }
  // Recomputes an op right before a far read of its output across `slot`.
  bool add_across(int32_t slot);

 private:
  struct Gap {
    int32_t tensor = -1, use = 0;  // live but unread from before the slot to this use
    double rate = 0;               // cost per byte of running its producer again
  };

  bool relocate();
  bool push();
  bool move_block();
  bool add_anywhere();
  bool drop_repeat();
  bool exchange();

  int32_t some_run(int32_t op) { return sequence_.runs(op)[random_.below(sequence_.runs(op).size())]; }
  int32_t some_step();
  int32_t heavy_step();
  Gap gap_at(int32_t tensor, int32_t slot) const;
  bool run_before(int32_t op, int32_t use, double chain, int32_t depth);
  void drop_with_feeders(int32_t op, int32_t slot, int32_t depth);
  std::pair<int32_t, int32_t> room(int32_t op, int32_t slot) const { return room(op, slot, slot, slot); }
  std::pair<int32_t, int32_t> room(int32_t op, int32_t slot, int32_t first, int32_t last) const;
  // Whether the move may still be accepted with one more run of the op.
  bool affords(int32_t op) const {
    const int32_t longer = sequence_.steps() + 1 - steps_;
    return sequence_.further_cost() + problem_.cost[op] + most_.run * longer <= most_.cost;
  }
  int32_t free_in(int32_t from, int32_t low, int32_t high);
  int32_t open_before(int32_t slot);
  bool shift_to(int32_t from, int32_t to);
  int32_t some_repeat();

  const RematProblem& problem_;
  Sequence& sequence_;
  Random& random_;
  const RematSwitches switches_;
  std::vector<int32_t> again_;  // tensors whose producer may run again
  Allowance most_;
  int32_t steps_ = 0;  // before the move
  int32_t added_ = 0;
  bool cramped_ = false;
};

}  // namespace memopt
