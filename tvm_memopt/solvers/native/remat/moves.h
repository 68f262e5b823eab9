// Moves of the rematerialisation annealer: each edits a sequence, the caller weighs and keeps or undoes it.
#pragma once

#include <limits>
#include <utility>

#include "../control.h"
#include "sequence.h"

namespace memopt {

struct RematSwitches {
  bool guided = true;       // run an op again right before a far read of what it makes, across a step over the budget
  bool chains = true;       // and with it what it reads and is no longer held
  bool block_moves = true;  // a run that a neighbour holds back takes it along
  bool exchange = true;     // drop one repeat and add another in one move
};

// What a move may cost at most to have a chance: its runs, each with `run` on top of its op's cost.
struct Allowance {
  double cost = std::numeric_limits<double>::infinity();
  double run = 0;
};

class Mover {
 public:
  Mover(const RematProblem& problem, Sequence& sequence, Random& random, RematSwitches switches);

  // Edits the sequence; false when nothing came of it (edits, if any, are to be undone).
  bool propose(bool repeats, Allowance most = {});
  // Whether a move lacked a free slot since the last call.
  bool cramped() { return std::exchange(cramped_, false); }
  // A far read across `slot`: runs an op again right before it.
  bool add_across(int32_t slot);

 private:
  struct Gap {
    int32_t tensor = -1, use = 0;  // held, unread, from before the slot to this use
    double rate = 0;               // cost of running its producer again, a byte
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
  // Whether one more run of the op leaves the move a chance.
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
