// Greedy placement: one pass over the items in some order, each placed immediately.
#pragma once

#include <functional>
#include <map>
#include <queue>
#include <set>
#include <utility>

#include "../control.h"
#include "problem.h"

namespace memopt::layout {

// Range maximum with range assignment, O(log n) each.
class Skyline {
 public:
  explicit Skyline(int32_t sections) {
    while (size_ < sections) size_ *= 2;
    most_.assign(2 * size_, 0), set_.assign(2 * size_, -1);
  }
  int64_t highest(int32_t from, int32_t to) { return ask(1, 0, size_, from, to); }
  void assign(int32_t from, int32_t to, int64_t level) { put(1, 0, size_, from, to, level); }

 private:
  int64_t ask(int32_t node, int32_t low, int32_t high, int32_t from, int32_t to) {
    if (to <= low || high <= from) return 0;
    if ((from <= low && high <= to) || set_[node] >= 0) return most_[node];
    const int32_t middle = (low + high) / 2;
    return std::max(ask(2 * node, low, middle, from, to), ask(2 * node + 1, middle, high, from, to));
  }

  void put(int32_t node, int32_t low, int32_t high, int32_t from, int32_t to, int64_t level) {
    if (to <= low || high <= from) return;
    if (from <= low && high <= to) {
      most_[node] = set_[node] = level;
      return;
    }
    if (set_[node] >= 0) {
      for (const int32_t child : {2 * node, 2 * node + 1}) most_[child] = set_[child] = set_[node];
      set_[node] = -1;
    }
    const int32_t middle = (low + high) / 2;
    put(2 * node, low, middle, from, to, level), put(2 * node + 1, middle, high, from, to, level);
    most_[node] = std::max(most_[2 * node], most_[2 * node + 1]);
  }

  int32_t size_ = 1;
  std::vector<int64_t> most_, set_;  // set_[node] >= 0: the whole node has this level
};

// Placed items by first section. Each tree node stores the largest end in its subtree.
class PlacedItems {
 public:
  explicit PlacedItems(const Problem& p) : p_(p) {
    while (size_ < p.items()) size_ *= 2;
    end_.assign(2 * size_, -1);
  }

  void add(int32_t item) {
    for (int32_t node = size_ + item; node > 0; node /= 2) end_[node] = std::max(end_[node], p_.hi[item]);
  }

  // Calls visit(j) for every placed item j that shares a section with `item`; O(log n) each.
  template <typename Visit>
  void overlapping(int32_t item, const Visit& visit) const {
    const auto beyond = std::ranges::lower_bound(p_.lo, p_.hi[item]) - p_.lo.begin();
    descend(1, 0, size_, static_cast<int32_t>(beyond), p_.lo[item], visit);
  }

 private:
  template <typename Visit>
  void descend(int32_t node, int32_t low, int32_t high, int32_t beyond, int32_t after, const Visit& visit) const {
    if (low >= beyond || end_[node] <= after) return;
    if (high - low == 1) {
      visit(low);
      return;
    }
    const int32_t middle = (low + high) / 2;
    descend(2 * node, low, middle, beyond, after, visit), descend(2 * node + 1, middle, high, beyond, after, visit);
  }

  const Problem& p_;
  int32_t size_ = 1;
  std::vector<int32_t> end_;
};

// Free address ranges below an unlimited top. Allocation and release take O(log n), except that first fit scans the
// gaps of one size class.
class FreeRanges {
 public:
  int64_t allocate(int64_t size, bool best_fit) {
    const int64_t at = best_fit ? tightest(size) : lowest(size);
    if (at < 0) return std::exchange(top_, top_ + size);
    const int64_t length = remove(at);
    if (length > size) insert(at + size, length - size);
    return at;
  }

  void release(int64_t at, int64_t size) {
    const auto next = gaps_.lower_bound(at);
    if (next != gaps_.end() && next->first == at + size) size += remove(at + size);
    if (const auto after = gaps_.lower_bound(at); after != gaps_.begin()) {
      const auto [before, length] = *std::prev(after);
      if (before + length == at) at = before, size += remove(before);
    }
    if (at + size == top_) {
      top_ = at;
    } else {
      insert(at, size);
    }
  }

 private:
  static int size_class(int64_t size) { return 63 - __builtin_clzll(static_cast<uint64_t>(size)); }

  int64_t tightest(int64_t size) const {
    const auto found = by_length_.lower_bound({size, 0});
    return found == by_length_.end() ? -1 : found->second;
  }

  int64_t lowest(int64_t size) const {
    int64_t least = -1;
    for (int c = size_class(size) + 1; c < 64; ++c) {
      if (!classes_[c].empty() && (least < 0 || *classes_[c].begin() < least)) least = *classes_[c].begin();
    }
    for (const int64_t at : classes_[size_class(size)]) {
      if (least >= 0 && at > least) break;
      if (gaps_.at(at) >= size) return at;
    }
    return least;
  }

  void insert(int64_t at, int64_t length) {
    gaps_[at] = length, by_length_.insert({length, at}), classes_[size_class(length)].insert(at);
  }

  int64_t remove(int64_t at) {
    const auto found = gaps_.find(at);
    const int64_t length = found->second;
    by_length_.erase({length, at}), classes_[size_class(length)].erase(at), gaps_.erase(found);
    return length;
  }

  int64_t top_ = 0;
  std::map<int64_t, int64_t> gaps_;
  std::set<std::pair<int64_t, int64_t>> by_length_;
  std::set<int64_t> classes_[64];
};

using Order = std::vector<int32_t>;
using Offsets = std::vector<int64_t>;

enum class Rule { kSize, kArea, kBreadth, kLifetime, kStart };
inline constexpr Rule kRules[] = {Rule::kSize, Rule::kArea, Rule::kBreadth, Rule::kLifetime, Rule::kStart};

// For each item, the largest number of units live at once during its lifetime.
inline std::vector<int64_t> loads(const Problem& p) {
  const auto held = p.held();
  Skyline most(p.sections);
  for (int32_t s = 0; s < p.sections; ++s) most.assign(s, s + 1, held[s]);
  std::vector<int64_t> found(p.items());
  for (int32_t i = 0; i < p.items(); ++i) found[i] = most.highest(p.lo[i], p.hi[i]);
  return found;
}

inline Order sorted_by(const Problem& p, Rule rule, const std::vector<int64_t>& load) {
  const auto key = [&](int32_t i) {
    const int64_t life = p.hi[i] - p.lo[i], z = p.size[i];
    switch (rule) {
      case Rule::kSize:
        return std::tuple(-z, -life, int64_t{p.lo[i]}, i);
      case Rule::kArea:
        return std::tuple(-p.area[i], -z, int64_t{p.lo[i]}, i);
      case Rule::kBreadth:
        return std::tuple(-load[i], -z, int64_t{p.lo[i]}, i);
      case Rule::kLifetime:
        return std::tuple(-life, -z, int64_t{p.lo[i]}, i);
      case Rule::kStart:
        break;
    }
    return std::tuple(int64_t{p.lo[i]}, -z, int64_t{-p.hi[i]}, i);
  };
  Order order(p.items());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, key);
  return order;
}

// The gaps of each item, as seen from it.
inline std::vector<std::vector<Gap>> gaps_by_item(const Problem& p) {
  std::vector<std::vector<Gap>> found(p.gaps.empty() ? 0 : p.items());
  for (const Gap& gap : p.gaps) found[gap.source].push_back(gap), found[gap.target].push_back(gap);
  return found;
}

// `order` with the target of each item before it, since an item lies above the target that it reaches into.
inline Order targets_first(const Problem& p, const Order& order) {
  if (p.gaps.empty()) return order;
  std::vector<int32_t> target(p.items(), -1);
  std::vector<int64_t> saved(p.items(), 0);
  for (const Gap& gap : p.gaps) {
    const int64_t common = std::min({p.size[gap.source], p.size[gap.target], p.size[gap.target] - gap.distance});
    if (common > saved[gap.source]) saved[gap.source] = common, target[gap.source] = gap.target;
  }
  std::vector<char> placed(p.items(), 0);
  Order found, waiting;
  for (const int32_t item : order) {
    waiting.clear();
    for (int32_t i = item; i >= 0 && !placed[i]; i = target[i]) placed[i] = 1, waiting.push_back(i);
    found.insert(found.end(), waiting.rbegin(), waiting.rend());
  }
  return found;
}

// Offsets of the items in `order`: the lowest free offset, or the lower end of the tightest gap, among the placed items
// that are live with each. Empty if time runs out. Items with a nonnegative offset in `fixed` keep it; they must come
// first in the order.
inline Offsets place_in_order(const Problem& p, const Order& order, bool best_fit, const Control& control,
                              const Offsets& fixed = {}) {
  Offsets offsets(p.items());
  PlacedItems placed(p);
  const auto gaps = gaps_by_item(p);
  std::vector<std::pair<int64_t, int64_t>> forbidden;
  int32_t count = 0;
  for (const int32_t i : order) {
    if ((++count & 0x3f) == 0 && control.stopped()) return {};
    if (!fixed.empty() && fixed[i] >= 0) {
      offsets[i] = fixed[i];
      placed.add(i);
      continue;
    }
    forbidden.clear();
    placed.overlapping(i, [&](int32_t j) {
      const int32_t from = std::max(p.lo[i], p.lo[j]), to = std::min(p.hi[i], p.hi[j]);
      int64_t low = offsets[j] - p.height_over(i, from, to), high = offsets[j] + p.height_over(j, from, to);
      if (!gaps.empty()) {
        for (const Gap& gap : gaps[i]) {
          if (gap.target == j) high = std::min(high, offsets[j] + gap.distance);
          if (gap.source == j) low = std::max(low, offsets[j] - gap.distance);
        }
      }
      forbidden.emplace_back(low, high);
    });
    std::ranges::sort(forbidden);
    int64_t at = 0, best = -1, least = INT64_MAX;
    for (const auto& [low, high] : forbidden) {
      if (low >= at && low - at < least) {
        best = at, least = low - at;
        if (!best_fit) break;
      }
      at = std::max(at, high);
    }
    offsets[i] = best < 0 ? at : best;
    placed.add(i);
  }
  return offsets;
}

// Allocate at birth and free at death, like a run-time allocator; or backwards in time. O(n log n).
inline Offsets replay(const Problem& p, bool best_fit, bool backwards) {
  const auto birth = [&](int32_t i) { return backwards ? -p.hi[i] : p.lo[i]; };
  const auto death = [&](int32_t i) { return backwards ? -p.lo[i] : p.hi[i]; };
  Order order(p.items());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int32_t i) { return std::tuple(birth(i), -p.size[i], -death(i), i); });
  using Dying = std::pair<int32_t, int32_t>;
  std::priority_queue<Dying, std::vector<Dying>, std::greater<>> dying;
  FreeRanges free;
  Offsets offsets(p.items());
  for (const int32_t i : order) {
    for (; !dying.empty() && dying.top().first <= birth(i); dying.pop()) {
      free.release(offsets[dying.top().second], p.size[dying.top().second]);
    }
    offsets[i] = free.allocate(p.size[i], best_fit);
    dying.emplace(death(i), i);
  }
  return offsets;
}

// Put each item on top of all items that were placed before it and are live with it. O(n log n); leaves gaps below.
inline Offsets stack_up(const Problem& p, const Order& order) {
  Skyline skyline(p.sections);
  Offsets offsets(p.items());
  for (const int32_t i : order) {
    offsets[i] = skyline.highest(p.lo[i], p.hi[i]);
    skyline.assign(p.lo[i], p.hi[i], offsets[i] + p.size[i]);
  }
  return offsets;
}

// Number of pairs of items that share a section.
inline int64_t overlaps(const Problem& p) {
  auto ends = p.hi;
  std::ranges::sort(ends);
  int64_t pairs = 0;
  for (int32_t i = 0; i < p.items(); ++i) {
    pairs += i - (std::ranges::upper_bound(ends, p.lo[i]) - ends.begin());
  }
  return pairs;
}

struct Greedy {
  Offsets offsets;
  int64_t arena = INT64_MAX;
  int method = -1;  // 0-3: replay (+1 best fit, +2 backwards); 4-8: stacked; 9-13: first fit; 14-18: best fit
};

constexpr int64_t kMostOverlaps = 8'000'000;  // with more, first and best fit in a given order take too long

// The best of all rules; stops at an arena of `target` bytes. Replay always finishes, so there is always a result.
inline Greedy best_greedy(const Problem& p, int64_t target, const Control& control) {
  Greedy best;
  int method = 0;
  const auto done = [&](Offsets offsets) {
    if (const int64_t arena = offsets.empty() ? INT64_MAX : p.arena(offsets); arena < best.arena) {
      best = {std::move(offsets), arena, method};
    }
    ++method;
    return best.arena <= target || control.stopped();
  };
  if (p.items() == 0) return {{}, 0, 0};
  for (const bool backwards : {false, true}) {
    for (const bool best_fit : {false, true}) {
      if (done(replay(p, best_fit, backwards))) return best;
    }
  }
  const auto load = loads(p);
  for (const Rule rule : kRules) {
    if (done(stack_up(p, sorted_by(p, rule, load)))) return best;
  }
  if (overlaps(p) > kMostOverlaps) return best;
  for (const bool best_fit : {false, true}) {
    for (const Rule rule : kRules) {
      if (done(place_in_order(p, targets_first(p, sorted_by(p, rule, load)), best_fit, control))) return best;
    }
  }
  return best;
}

// The best of first and best fit, by all rules, around fixed items. No offsets if time runs out before a rule ends.
inline Greedy fitted_around(const Problem& p, const Offsets& fixed, int64_t target, const Control& control) {
  Greedy best;
  const auto load = loads(p);
  for (const bool best_fit : {true, false}) {
    for (const Rule rule : kRules) {
      auto order = sorted_by(p, rule, load);
      std::ranges::stable_partition(order, [&](int32_t i) { return fixed[i] >= 0; });
      Offsets found = place_in_order(p, order, best_fit, control, fixed);
      if (found.empty()) return best;
      if (const int64_t arena = p.arena(found); arena < best.arena) best = {std::move(found), arena, 0};
      if (best.arena <= target) return best;
    }
  }
  return best;
}

}  // namespace memopt::layout
