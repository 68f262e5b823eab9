// Exact search over executed sets: is there an order whose peak is at most a budget?
//
// Live bytes are submodular: live(A or B) + live(A and B) <= live(A) + live(B), because running an op frees more, the
// more ops are executed. The central rule of the search follows:
//
// Valley rule. Let X be reachable from S within the budget, with live(X) <= live(W) for every set W between S and X.
// Then S can be completed within the budget if and only if X can. Proof: take a completion S = Z0, Z1, … and run X
// first: live(Zi or X) <= live(Zi) + live(X) - live(Zi and X) <= live(Zi). A step u at Zi or X holds no more than it
// did at Zi: live did not grow, and what u no longer opens or shares because of X is already in live and no smaller.
// Steps whose op lies in X vanish.
//
// If X is not such a minimum, the largest set W with the fewest bytes between S and X is one. The path to X, restricted
// to W, reaches W with no more live bytes at any step (again by submodularity). Only in-place sharing could be lost, so
// the path is checked before it is used. A single op with delta <= 0 is the safe move of the literature.
#pragma once

#include <functional>

#include "../control.h"
#include "cut.h"

namespace memopt {

// Executed sets that cannot be completed within the budget, stored in full: nothing relies on a hash alone.
class SetMemo {
 public:
  explicit SetMemo(size_t words) : words_(words) { clear(); }

  void clear() {
    keys_.clear();
    count_ = 0;
    slots_.assign(1024, 0);
  }

  size_t nbytes() const { return keys_.capacity() * sizeof(uint64_t) + slots_.size() * sizeof(uint32_t); }

  bool contains(const std::vector<uint64_t>& set) const { return slots_[find(set)] != 0; }

  void insert(const std::vector<uint64_t>& set) {
    const size_t slot = find(set);
    if (slots_[slot]) return;
    keys_.insert(keys_.end(), set.begin(), set.end());
    slots_[slot] = static_cast<uint32_t>(++count_);
    if (count_ * 2 > slots_.size()) grow();
  }

 private:
  // The slot of the set, or the free slot where it belongs.
  size_t find(const std::vector<uint64_t>& set) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = hash(set.data()) & mask;
    while (slots_[slot] && !std::equal(set.begin(), set.end(), keys_.begin() + (slots_[slot] - 1) * words_)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  uint64_t hash(const uint64_t* set) const {
    uint64_t value = 0x9e3779b97f4a7c15ULL;
    for (size_t i = 0; i < words_; ++i) {
      value = (value ^ set[i]) * 0xff51afd7ed558ccdULL;
      value ^= value >> 32;
    }
    return value;
  }

  void grow() {
    slots_.assign(slots_.size() * 2, 0);
    const size_t mask = slots_.size() - 1;
    for (size_t i = 0; i < count_; ++i) {
      size_t slot = hash(keys_.data() + i * words_) & mask;
      while (slots_[slot]) slot = (slot + 1) & mask;
      slots_[slot] = static_cast<uint32_t>(i + 1);
    }
  }

  size_t words_;
  size_t count_ = 0;
  std::vector<uint64_t> keys_;
  std::vector<uint32_t> slots_;
};

constexpr int64_t kStepWork = 40;  // elementary steps to run an op and undo it

enum class Verdict { kInfeasible, kFeasible, kUnknown };

struct SearchSwitches {
  bool safe_moves = true;
  bool valleys = true;
  bool both_ends = true;
};

struct SearchLimits {
  int64_t states = 1'000'000;
  size_t memory = size_t{1} << 30;
};

// Depth-first search from the empty executed set, in one direction.
template <bool kReverse>
class DownsetSearch {
 public:
  DownsetSearch(const Problem& problem, int64_t budget, SearchSwitches switches)
      : problem_(problem),
        budget_(budget),
        switches_(switches),
        state_(problem),
        cut_(problem),
        memo_(state_.executed().size()) {}

  // The ops executed permanently, in order of execution; the whole order if feasible.
  const std::vector<int32_t>& trail() const { return trail_; }
  int32_t settled() const { return settled_; }
  int64_t states() const { return states_; }

  Verdict run(const SearchLimits& limits, const Control& control) {
    close();
    if (complete()) return Verdict::kFeasible;
    settled_ = static_cast<int32_t>(trail_.size());
    push_frame();
    while (!frames_.empty()) {
      if (frames_.back().cursor == children_.size()) {
        pop_frame();
        continue;
      }
      control.spend(std::exchange(work_, 0) + cut_.take_work());
      if (states_ >= limits.states || ((states_ & 63) == 0 && (control.stopped() || memo_.nbytes() > limits.memory))) {
        settle();
        return Verdict::kUnknown;
      }
      const int32_t op = children_[frames_.back().cursor++].op;
      const size_t before = trail_.size();
      execute(op);
      close();
      if (!complete()) visit(before);
      if (complete()) return Verdict::kFeasible;
    }
    return Verdict::kInfeasible;
  }

 private:
  struct Child {
    int64_t delta;
    int32_t op;
  };
  struct Frame {
    size_t trail;     // number of executed ops when the frame's set was reached
    size_t children;  // start of its children; they end where those of the next frame start
    size_t cursor;
    int64_t live;
  };

  bool complete() const { return state_.steps() == problem_.ops; }

  void execute(int32_t op) {
    state_.run(op);
    trail_.push_back(op);
    work_ += kStepWork;
  }

  void unwind(size_t length) {
    while (trail_.size() > length) {
      state_.undo(trail_.back());
      trail_.pop_back();
    }
  }

  // Runs every safe move: an op that fits and does not increase the live bytes.
  void close() {
    if (!switches_.safe_moves) return;
    for (bool found = true; found;) {
      found = false;
      for (size_t i = 0; i < state_.ready().size(); ++i) {
        const int32_t op = state_.ready()[i];
        if (state_.delta(op) > 0 || state_.step_bytes(op) > budget_) continue;
        execute(op);
        found = true;
        --i;  // another ready op took its place
      }
    }
  }

  void push_frame() {
    const size_t start = children_.size();
    for (int32_t op : state_.ready()) {
      if (state_.step_bytes(op) <= budget_) children_.push_back({state_.delta(op), op});
    }
    std::sort(children_.begin() + start, children_.end(),
              [](const Child& a, const Child& b) { return a.delta != b.delta ? a.delta < b.delta : a.op < b.op; });
    frames_.push_back({trail_.size(), start, start, state_.live()});
  }

  void pop_frame() {
    memo_.insert(state_.executed());
    children_.resize(frames_.back().children);
    frames_.pop_back();
    if (!frames_.empty()) unwind(frames_.back().trail);
  }

  // Drops the children of frames `from` and above.
  void drop_children(size_t from) {
    children_.resize(frames_[from].children);
    for (size_t i = from; i < frames_.size(); ++i) frames_[i].children = frames_[i].cursor = children_.size();
  }

  bool has_children(size_t frame) const {
    const size_t end = frame + 1 < frames_.size() ? frames_[frame + 1].children : children_.size();
    return frames_[frame].cursor < end;
  }

  // Handles a state just reached by running the ops from trail position `before` on.
  void visit(size_t before) {
    ++states_;
    work_ += kStepWork + static_cast<int64_t>(state_.executed().size());
    const bool hopeless = memo_.contains(state_.executed());
    if (switches_.valleys && cross_valley(hopeless)) return;
    if (hopeless) {
      unwind(before);
    } else {
      push_frame();
    }
  }

  // Applies the valley rule between this state and the lowest frame that has choices left and holds no less than this
  // state. Returns true if the search moved to another state.
  bool cross_valley(bool hopeless) {
    size_t j = 0;
    bool base = true;
    for (; j < frames_.size() && !(has_children(j) && frames_[j].live >= state_.live()); ++j)
      base = base && !has_children(j);
    if (j == frames_.size()) return false;
    const std::span<const int32_t> ops(trail_.data() + frames_[j].trail, trail_.size() - frames_[j].trail);
    if (!cut_.is_least(state_, ops, least_)) return take_least(j, base);
    drop_children(j);
    if (hopeless) {  // so is everything down to frame j
      return_to(j);
      return true;
    }
    if (base) rebase();
    return false;
  }

  // Replaces all remaining choices of frame j by the largest set with the fewest bytes between frame j and here.
  bool take_least(size_t j, bool base) {
    const std::vector<int32_t> path(trail_);
    unwind(frames_[j].trail);
    for (int32_t op : least_) {
      if (state_.step_bytes(op) > budget_) {  // in-place sharing was lost on the way: restore the state
        unwind(frames_[j].trail);
        for (size_t i = trail_.size(); i < path.size(); ++i) execute(path[i]);
        return false;
      }
      execute(op);
    }
    drop_children(j);
    frames_.resize(j + 1);
    close();
    if (complete()) return true;
    ++states_;
    if (memo_.contains(state_.executed())) {
      return_to(j);
      return true;
    }
    if (base) rebase();
    push_frame();
    return true;
  }

  void return_to(size_t j) {
    frames_.resize(j + 1);
    unwind(frames_[j].trail);
  }

  // Continues the search from this state only.
  void rebase() {
    frames_.clear();
    children_.clear();
    memo_.clear();
    settled_ = static_cast<int32_t>(trail_.size());
  }

  void settle() { unwind(settled_); }

  const Problem& problem_;
  int64_t budget_;
  SearchSwitches switches_;
  OrderState<kReverse> state_;
  LatticeCut<kReverse> cut_;
  SetMemo memo_;
  std::vector<int32_t> trail_, least_;
  std::vector<Frame> frames_;
  std::vector<Child> children_;
  int32_t settled_ = 0;
  int64_t states_ = 0;
  int64_t work_ = 0;
};

}  // namespace memopt
