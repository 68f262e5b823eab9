// Memory along an order, op by op, forwards or from the end, with undo.
#pragma once

#include "problem.h"

namespace memopt {

// Which ops are executed, which bytes are live, and what each ready op would do. From the end, "executed" means "taken
// off the end"; tensors open at the first reader taken and close at their producer. Live bytes between steps are the
// same. Both directions have the same structure: running v in a set S adds extra(v) to the live bytes during its step
// and delta(v) after it, and delta(v) never grows with S.
template <bool kReverse>
class OrderState {
 public:
  explicit OrderState(const Problem& problem)
      : problem_(problem),
        live_(problem.start_live),
        touched_(problem.ops, 0),
        count_(problem.tensors),
        rest_(problem.tensors, 0),
        waiting_(problem.ops),
        place_(problem.ops, -1),
        executed_((problem.ops + 63) / 64, 0) {
    if (kReverse) live_ = end_live(problem);
    for (int32_t t = 0; t < problem.tensors; ++t) {
      const auto readers = problem.readers[t];
      count_[t] = kReverse ? 0 : static_cast<int32_t>(readers.size());
      for (int32_t reader : readers) {
        rest_[t] ^= reader;
        if (kReverse || readers.size() == 1) touched_[reader] += problem.nbytes[t];
      }
    }
    for (int32_t op = 0; op < problem.ops; ++op) {
      waiting_[op] = static_cast<int32_t>(dependences()[op].size());
      if (waiting_[op] == 0) add_ready(op);
    }
  }

  static int64_t end_live(const Problem& problem) {
    int64_t live = problem.start_live;
    for (int64_t bytes : problem.kept) live += bytes;
    for (int64_t bytes : problem.nbytes) live -= bytes;
    return live;
  }

  int64_t live() const { return live_; }
  int32_t steps() const { return steps_; }
  const std::vector<int32_t>& ready() const { return ready_; }
  const std::vector<uint64_t>& executed() const { return executed_; }
  bool is_ready(int32_t op) const { return place_[op] >= 0; }
  bool is_executed(int32_t op) const { return executed_[op >> 6] >> (op & 63) & 1; }
  // Forwards: readers still to run. From the end: readers taken.
  int32_t count(int32_t tensor) const { return count_[tensor]; }
  // Forwards: with one reader left, that reader; with two, their exclusive or.
  int32_t rest(int32_t tensor) const { return rest_[tensor]; }
  // Number of dependences not yet executed.
  int32_t waiting(int32_t op) const { return waiting_[op]; }

  // Net change of live bytes.
  int64_t delta(int32_t op) const {
    return kReverse ? touched_[op] - problem_.kept[op] : problem_.kept[op] - touched_[op];
  }

  // Bytes that the step adds to those live before it.
  int64_t extra(int32_t op) const {
    const int64_t opened = kReverse ? touched_[op] - problem_.kept[op] : 0;
    const int64_t shared = problem_.has_pairs(op) && touched_[op] != 0 ? sharing(op) : 0;
    return opened + problem_.transient[op] - shared;
  }

  // Live bytes at the step of `op`. The orphans belong to the program's first step.
  int64_t step_bytes(int32_t op) const {
    const bool first = kReverse ? steps_ + 1 == problem_.ops : steps_ == 0;
    return live_ + extra(op) + (first ? problem_.orphans : 0);
  }

  // Runs `op`. Calls changed(op) for each op, ready or not, whose effect changed.
  template <typename Changed>
  void run(int32_t op, Changed&& changed) {
    live_ += delta(op);
    ++steps_;
    executed_[op >> 6] |= uint64_t{1} << (op & 63);
    remove_ready(op);
    for (int32_t t : problem_.reads[op]) {
      rest_[t] ^= op;
      if (kReverse) {
        if (count_[t]++ == 0) shift_others(t, op, -problem_.nbytes[t], changed);
      } else if (--count_[t] == 1) {
        touched_[rest_[t]] += problem_.nbytes[t];
        changed(rest_[t]);
      }
    }
    for (int32_t s : dependents()[op]) {
      if (--waiting_[s] == 0) {
        add_ready(s);
        changed(s);
      }
    }
  }

  void run(int32_t op) {
    run(op, [](int32_t) {});
  }

  // Undoes the last run.
  void undo(int32_t op) {
    for (int32_t s : dependents()[op]) {
      if (waiting_[s]++ == 0) remove_ready(s);
    }
    for (int32_t t : problem_.reads[op]) {
      if (kReverse) {
        if (--count_[t] == 0) shift_others(t, op, problem_.nbytes[t], [](int32_t) {});
      } else if (count_[t]++ == 1) {
        touched_[rest_[t]] -= problem_.nbytes[t];
      }
      rest_[t] ^= op;
    }
    add_ready(op);
    executed_[op >> 6] &= ~(uint64_t{1} << (op & 63));
    --steps_;
    live_ -= delta(op);
  }

 private:
  const RowsOwned& dependences() const { return kReverse ? problem_.after : problem_.before; }
  const RowsOwned& dependents() const { return kReverse ? problem_.before : problem_.after; }

  template <typename Changed>
  void shift_others(int32_t tensor, int32_t op, int64_t bytes, Changed&& changed) {
    for (int32_t reader : problem_.readers[tensor]) {
      if (reader == op) continue;
      touched_[reader] += bytes;
      changed(reader);
    }
  }

  int64_t sharing(int32_t op) const {
    const auto all = problem_.pairs_of(op);
    const int32_t trigger = kReverse ? 0 : 1;
    if (all.size() == 1) return count_[all[0].source] == trigger ? all[0].shared : 0;
    std::vector<InplacePair> usable;
    for (const auto& pair : all) {
      if (count_[pair.source] == trigger) usable.push_back(pair);
    }
    return best_sharing(usable);
  }

  void add_ready(int32_t op) {
    place_[op] = static_cast<int32_t>(ready_.size());
    ready_.push_back(op);
  }

  void remove_ready(int32_t op) {
    const int32_t hole = place_[op], moved = ready_.back();
    ready_[hole] = moved;
    place_[moved] = hole;
    ready_.pop_back();
    place_[op] = -1;
  }

  const Problem& problem_;
  int64_t live_;
  int32_t steps_ = 0;
  std::vector<int64_t> touched_;  // forwards: inputs that would die in the op; from the end: inputs that it would open
  std::vector<int32_t> count_;
  std::vector<int32_t> rest_;  // exclusive or of the readers still to run: with one left, its id
  std::vector<int32_t> waiting_, place_, ready_;
  std::vector<uint64_t> executed_;
};

using ForwardState = OrderState<false>;
using ReverseState = OrderState<true>;

}  // namespace memopt
