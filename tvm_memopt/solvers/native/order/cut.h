// Minimum cuts: the set with the fewest live bytes between two executed sets.
#pragma once

#include <limits>
#include <utility>

#include "state.h"

namespace memopt {

// Maximum flow by Dinic's algorithm, with buffers reused from call to call.
class Flow {
 public:
  static constexpr int64_t kInfinite = std::numeric_limits<int64_t>::max() / 4;
  static constexpr int32_t kSource = 0;
  static constexpr int32_t kSink = 1;

  void reset() {
    head_.assign(2, -1);
    to_.clear();
    next_.clear();
    room_.clear();
    pushed_.clear();
  }

  int32_t node() {
    head_.push_back(-1);
    return static_cast<int32_t>(head_.size()) - 1;
  }

  void edge(int32_t from, int32_t to, int64_t capacity) {
    half(from, to, capacity);
    half(to, from, 0);
  }

  // Elementary steps since the last call.
  int64_t take_work() { return std::exchange(work_, 0); }

  // The value of a maximum flow.
  int64_t run() { return augment(kSource, kSink, kInfinite); }

  // The increase of the minimum cut found by run(), up to just above `limit`, if `node` must lie on the source side (or
  // the sink side). Flow between the terminals stays at its maximum, so only paths of the node count.
  int64_t forced(int32_t node, bool to_source, int64_t limit) {
    pushed_.clear();
    const int64_t grown = to_source ? augment(node, kSink, limit) : augment(kSource, node, limit);
    for (const auto& [e, amount] : pushed_) {
      room_[e] += amount;
      room_[e ^ 1] -= amount;
    }
    return grown;
  }

  // After run(): for each node, whether the source can still reach it.
  std::vector<char> reached_from_source() const {
    std::vector<char> seen(head_.size(), 0);
    std::vector<int32_t> queue{kSource};
    seen[kSource] = 1;
    for (size_t i = 0; i < queue.size(); ++i) {
      for (int32_t e = head_[queue[i]]; e >= 0; e = next_[e]) {
        if (room_[e] > 0 && !seen[to_[e]]) {
          seen[to_[e]] = 1;
          queue.push_back(to_[e]);
        }
      }
    }
    return seen;
  }

  // After run(): for each node, whether it can still reach the sink. The others form the largest source side.
  std::vector<char> reaches_sink() const {
    std::vector<char> seen(head_.size(), 0);
    std::vector<int32_t> queue{kSink};
    seen[kSink] = 1;
    for (size_t i = 0; i < queue.size(); ++i) {
      for (int32_t e = head_[queue[i]]; e >= 0; e = next_[e]) {
        if (room_[e ^ 1] > 0 && !seen[to_[e]]) {
          seen[to_[e]] = 1;
          queue.push_back(to_[e]);
        }
      }
    }
    return seen;
  }

 private:
  void half(int32_t from, int32_t to, int64_t capacity) {
    ++work_;
    to_.push_back(to);
    next_.push_back(head_[from]);
    room_.push_back(capacity);
    head_[from] = static_cast<int32_t>(to_.size()) - 1;
  }

  // Pushes flow until no path is left or more than `limit` has arrived.
  int64_t augment(int32_t from, int32_t to, int64_t limit) {
    int64_t total = 0;
    while (total <= limit && levels(from, to)) {
      cursor_ = head_;
      while (const int64_t pushed = push(from, to)) total += pushed;
    }
    return total;
  }

  bool levels(int32_t from, int32_t to) {
    level_.assign(head_.size(), -1);
    work_ += static_cast<int64_t>(head_.size());
    queue_.assign(1, from);
    level_[from] = 0;
    for (size_t i = 0; i < queue_.size(); ++i) {
      for (int32_t e = head_[queue_[i]]; e >= 0; e = next_[e]) {
        ++work_;
        if (room_[e] > 0 && level_[to_[e]] < 0) {
          level_[to_[e]] = level_[queue_[i]] + 1;
          if (to_[e] == to) return true;
          queue_.push_back(to_[e]);
        }
      }
    }
    return false;
  }

  // One augmenting path along rising levels, found by walking with an explicit stack of edges.
  int64_t push(int32_t from, int32_t to) {
    path_.clear();
    int32_t at = from;
    while (at != to) {
      int32_t& e = cursor_[at];
      ++work_;
      while (e >= 0 && !(room_[e] > 0 && level_[to_[e]] == level_[at] + 1)) e = next_[e], ++work_;
      if (e >= 0) {
        path_.push_back(e);
        at = to_[e];
      } else if (path_.empty()) {
        return 0;
      } else {
        level_[at] = -1;
        at = to_[path_.back() ^ 1];
        path_.pop_back();
      }
    }
    int64_t least = kInfinite;
    for (int32_t e : path_) least = std::min(least, room_[e]);
    for (int32_t e : path_) {
      room_[e] -= least;
      room_[e ^ 1] += least;
      pushed_.emplace_back(e, least);
    }
    return least;
  }

  std::vector<int32_t> head_, to_, next_, level_, queue_, cursor_, path_;
  std::vector<int64_t> room_;
  std::vector<std::pair<int32_t, int64_t>> pushed_;  // since it was last cleared
  int64_t work_ = 0;
};

// Live bytes of the sets between two executed sets, as a cut with executed ops on the source side. A tensor that opens
// and does not close costs its bytes. An executed op implies the ops it depends on.
template <bool kReverse>
class LatticeCut {
 public:
  explicit LatticeCut(const Problem& problem)
      : problem_(problem), number_(problem.ops, -1), stamp_(problem.tensors, 0) {}

  int64_t take_work() { return flow_.take_work(); }

  // Whether no set between `state` without `ops` and `state` has fewer live bytes than `state`. If one has, `least` is
  // set to the largest set with the fewest bytes, as a subsequence of `ops`.
  bool is_least(const OrderState<kReverse>& state, std::span<const int32_t> ops, std::vector<int32_t>& least) {
    flow_.reset();
    ++round_;
    for (int32_t op : ops) number_[op] = flow_.node();
    int64_t whole = 0;  // the cost of executing all of `ops`
    for (int32_t op : ops) {
      for (int32_t other : (kReverse ? problem_.after : problem_.before)[op]) {
        if (number_[other] >= 0) flow_.edge(number_[op], number_[other], Flow::kInfinite);
      }
      int64_t returned = problem_.kept[op];
      for (int32_t t : problem_.writes[op]) {
        returned -= problem_.nbytes[t];
        whole += add_tensor(state, t);
      }
      for (int32_t t : problem_.reads[op]) whole += add_tensor(state, t);
      if (returned == 0) continue;
      if (kReverse) {
        flow_.edge(Flow::kSource, number_[op], returned);
      } else {
        flow_.edge(number_[op], Flow::kSink, returned);
        whole += returned;
      }
    }
    const bool is_least = flow_.run() >= whole;
    if (!is_least) {
      const auto unexecuted = flow_.reaches_sink();
      least.clear();
      for (int32_t op : ops) {
        if (!unexecuted[number_[op]]) least.push_back(op);
      }
    }
    for (int32_t op : ops) number_[op] = -1;
    return is_least;
  }

 private:
  // Returns the cost of the tensor once all ops are executed.
  int64_t add_tensor(const OrderState<kReverse>& state, int32_t t) {
    if (stamp_[t] == round_) return 0;
    stamp_[t] = round_;
    return kReverse ? add_reversed(state, t) : add_forward(state, t);
  }

  int64_t add_forward(const OrderState<kReverse>& state, int32_t t) {
    const int64_t bytes = problem_.nbytes[t];
    const int32_t opener = problem_.producer[t] < 0 ? -1 : number_[problem_.producer[t]];
    if (state.count(t) > 0) {
      if (opener >= 0) flow_.edge(opener, Flow::kSink, bytes);
      return opener >= 0 ? bytes : 0;
    }
    const int32_t closed = flow_.node();
    flow_.edge(opener >= 0 ? opener : Flow::kSource, closed, bytes);
    for (int32_t reader : problem_.readers[t]) {
      if (number_[reader] >= 0) flow_.edge(closed, number_[reader], Flow::kInfinite);
    }
    return 0;
  }

  int64_t add_reversed(const OrderState<kReverse>& state, int32_t t) {
    const int64_t bytes = problem_.nbytes[t];
    const int32_t closer = problem_.producer[t] < 0 ? -1 : number_[problem_.producer[t]];
    int32_t inside = 0;
    for (int32_t reader : problem_.readers[t]) inside += number_[reader] >= 0;
    if (state.count(t) > inside) {
      if (closer >= 0) flow_.edge(Flow::kSource, closer, bytes);
      return 0;
    }
    const int32_t opened = flow_.node();
    for (int32_t reader : problem_.readers[t]) {
      if (number_[reader] >= 0) flow_.edge(number_[reader], opened, Flow::kInfinite);
    }
    flow_.edge(opened, closer >= 0 ? closer : Flow::kSink, bytes);
    return closer >= 0 ? 0 : bytes;
  }

  const Problem& problem_;
  Flow flow_;
  std::vector<int32_t> number_;
  std::vector<int32_t> stamp_;
  int32_t round_ = 0;
};

}  // namespace memopt
