// A schedule with repeats in more slots than it has steps, and its memory over time.
#pragma once

#include "problem.h"

namespace memopt {

// Effect of a set of edits: total cost, number of steps over the budget, and bytes over it summed over the steps.
struct Change {
  double cost = 0;
  double over = 0;
  double excess = 0;
};

// Edits (insert, remove) change the lists immediately and record where memory changes. weigh() computes the effect on
// the steps over the budget. commit() applies it; undo() takes back all edits since the last commit. A step in a slot
// weighs its live bytes less the budget; a free slot weighs far below zero.
class Sequence {
 public:
  Sequence(const RematProblem& problem, int64_t budget, int32_t longest);

  void load(std::span<const int32_t> schedule);
  std::vector<int32_t> schedule() const;
  void respread() { load(schedule()); }
  // Drops repeats that nobody reads.
  bool drop_useless();

  int32_t slots() const { return slots_; }
  int32_t steps() const { return steps_; }
  bool full() const { return steps_ >= longest_; }
  int32_t op_at(int32_t slot) const { return op_at_[slot]; }
  const std::vector<int32_t>& runs(int32_t op) const { return runs_[op]; }
  const std::vector<int32_t>& readers(int32_t tensor) const { return readers_[tensor]; }
  bool over_budget(int32_t slot) const { return held_[slot] > 0; }
  double cost() const { return total_.cost; }
  double further_cost() const { return pending_.cost; }  // of the edits since the last commit
  double over() const { return total_.over; }
  double excess() const { return total_.excess; }
  int64_t peak() const;
  // Live bytes at each step, as in graph.liveness.live_profile.
  std::vector<int64_t> profile() const;

  void insert(int32_t op, int32_t slot);
  void remove(int32_t op, int32_t slot);
  void relocate(int32_t from, int32_t to) {
    const int32_t op = op_at_[from];
    remove(op, from);
    insert(op, to);
  }
  // Whether every read of an edited op, or of its outputs, has a run before it.
  bool valid() const;
  bool edited() const { return !edits_.empty(); }
  Change weigh();
  void commit();
  void undo();

  // Latest run of the tensor's producer before `slot`, -1 if none or an arena input; first after it, slots() if none.
  int32_t run_before(int32_t tensor, int32_t slot) const;
  int32_t run_after(int32_t tensor, int32_t slot) const;
  bool exists(int32_t tensor, int32_t run) const { return run >= 0 || problem_.producer[tensor] < 0; }
  // Last slot at which the instance written at `low` is live, the next run being at `high`.
  int32_t end_of(int32_t tensor, int32_t low, int32_t high) const;
  // Whether the outputs of the op's run at `slot` are read or returned.
  bool useful(int32_t op, int32_t slot) const;

 private:
  struct Edit {
    int32_t op, slot;
    bool inserted;
  };
  struct Stretch {
    int32_t first, last;
    double nbytes;
  };

  void add_read(int32_t tensor, int32_t slot);
  void drop_read(int32_t tensor, int32_t slot);
  void change_run(int32_t tensor, int32_t slot, double sign);
  void note(int32_t first, int32_t last, double nbytes);
  void touch(int32_t tensor, int32_t slot);
  void weigh_all();
  void note_sharing();
  void note_first();
  double sharing(int32_t op, int32_t slot) const;
  void list_stretches();
  void forget();

  const RematProblem& problem_;
  const double budget_;
  const int32_t longest_;
  int32_t slots_ = 0, steps_ = 0, first_ = 0, next_first_ = 0;
  std::vector<int32_t> op_at_;
  std::vector<std::vector<int32_t>> runs_;     // per op: slots, ascending
  std::vector<std::vector<int32_t>> readers_;  // per tensor: slots, ascending
  std::vector<double> held_;                   // per slot: live bytes less the budget
  std::vector<double> shared_;                 // per slot: bytes shared by in-place pairs
  Change total_, pending_;
  std::vector<Edit> edits_;
  std::vector<double> step_change_;  // per slot: change of memory by the edits from here on
  std::vector<uint64_t> marked_;     // one bit per slot: whether step_change_ is set
  std::vector<Stretch> stretches_;
  std::vector<int32_t> touched_;
  std::vector<std::pair<int32_t, double>> sharings_;
};

}  // namespace memopt
