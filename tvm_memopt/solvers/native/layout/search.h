// Does everything fit into a capacity? Branch and bound over bottom-up placements, valley by valley.
//
// The state is a skyline: the floor of each section, below which everything is settled. A valley is a run of sections
// with one floor, lower than its neighbours. Consider a canonical placement, which is pushed down as far as possible,
// so that each item lies on the ground or on another item. The next item above a section of a valley then either lies
// inside the valley on its floor, or begins higher. These cases exclude each other, so branching on one section of any
// one valley is complete and visits no placement twice. The preorder of placements by offset, section inference and
// decomposition follow Moffitt (MiniMalloc, ASPLOS 2023); the branching is new.
#pragma once

#include <limits>

#include "../control.h"
#include "memo.h"
#include "problem.h"
#include "stack.h"
#include "switches.h"

namespace memopt::layout {

enum class Outcome { kFits, kFails, kStopped };

// N is int32_t if the capacity in units is small, since the loops over sections then run twice as fast.
template <typename N>
class Search {
 public:
  Search(const Problem& problem, int64_t capacity, int64_t disabled, size_t memory_nbytes, const Control& control)
      : p_(problem), control_(control), disabled_(disabled), failed_(memory_nbytes) {
    const size_t n = p_.items(), m = p_.sections;
    for (size_t i = 0; i < n; ++i) {
      top_.push_back(static_cast<N>(p_.highest(i, capacity)));
      size_.push_back(static_cast<N>(p_.size[i]));
    }
    initial_slack_ = p_.slack(capacity);
    capacity_ = static_cast<double>(capacity) / static_cast<double>(p_.unit) + 1.0;
    narrow_ = capacity_ < (1 << 14);
    floor_.resize(m), slack_.resize(m), supported_.resize(m), sum_.resize(m + 1);
    witness_.assign(m, 0), count_.resize(m + 1), valley_.resize(m);
    lowest_.resize(n), placed_.resize(n), offset_.assign(n, -1), priority_.assign(n, 0.0);
    index_covers();
  }

  // Searches the items [begin, end), one component of time, for at most `nodes` nodes.
  Outcome run(int32_t begin, int32_t end, int64_t nodes) {
    int32_t low = p_.lo[begin], high = low;
    for (int32_t i = begin; i < end; ++i) {
      high = std::max(high, p_.hi[i]);
      placed_[i] = 0, lowest_[i] = 0;
      if (top_[i] < 0) return Outcome::kFails;
    }
    for (int32_t s = low; s < high; ++s) {
      floor_[s] = 0, supported_[s] = 1;
      if (initial_slack_[s] < 0) return Outcome::kFails;
      slack_[s] = static_cast<N>(std::min<int64_t>(initial_slack_[s], std::numeric_limits<N>::max() / 4));
    }
    last_node_ = nodes_ + nodes;
    const Stack::Mark mark(stack_);
    int32_t* items = stack_.take<int32_t>(end - begin);
    std::iota(items, items + (end - begin), begin);
    return solve({items, static_cast<size_t>(end - begin)}, low, high, low, high);
  }

  // Sets the order in which the items of a section are tried: largest priority first, times a random factor up to
  // 1 + noise. `tightness`: weight of the slack of a section, against its number of choices, in choosing the section.
  void prefer(std::vector<double> priority, double noise, double tightness, uint64_t seed) {
    priority_ = std::move(priority), noise_ = noise, tightness_ = tightness, random_ = Random(seed);
  }

  int64_t nodes() const { return nodes_; }
  int64_t offset(int32_t item) const { return offset_[item]; }

 private:
  using Items = std::span<const int32_t>;
  static constexpr N kWall = std::numeric_limits<N>::max() / 2;
  static constexpr size_t kHeader = 3 * sizeof(int32_t) / sizeof(uint16_t);

  bool on(Switch which) const { return (disabled_ & which) == 0; }

  void index_covers() {
    cover_begin_.assign(p_.sections + 1, 0);
    for (int32_t i = 0; i < p_.items(); ++i) {
      for (int32_t s = p_.lo[i]; s < p_.hi[i]; ++s) ++cover_begin_[s + 1];
    }
    for (int32_t s = 0; s < p_.sections; ++s) cover_begin_[s + 1] += cover_begin_[s];
    cover_.resize(cover_begin_.back());
    auto next = cover_begin_;
    for (int32_t i = 0; i < p_.items(); ++i) {
      for (int32_t s = p_.lo[i]; s < p_.hi[i]; ++s) cover_[next[s]++] = i;
    }
  }

  // Propagates a rise of the floors of sections [from, to) since the parent state. False if an item no longer fits.
  bool propagate(Items items, int32_t low, int32_t high, int32_t from, int32_t to) {
    while (from < to) {
      int32_t begin = high, end = low;
      for (const int32_t i : items) {
        if (p_.hi[i] <= from) continue;
        if (p_.lo[i] >= to) break;
        const N* floors = floor_.data();
        N rest = 0;
        for (int32_t s = p_.lo[i]; s < p_.hi[i]; ++s) rest = std::max(rest, floors[s]);
        if (rest == lowest_[i]) continue;
        lowest_[i] = rest;
        begin = std::min(begin, p_.lo[i]), end = std::max(end, p_.hi[i]);
        if (rest > top_[i]) return false;
      }
      from = high, to = low;
      if (!on(kInference)) return true;
      for (int32_t s = begin; s < end; ++s) {
        const N next = lowest_over(s);
        if (next <= floor_[s] || next == kWall) continue;
        from = std::min(from, s), to = s + 1;
        slack_[s] -= next - floor_[s];
        floor_[s] = next, supported_[s] = 0;
        if (slack_[s] < 0) return false;
      }
    }
    return true;
  }

  // The lowest offset that an unplaced item of section s can take. A witness from an earlier call often still holds.
  N lowest_over(int32_t s) {
    const int32_t known = witness_[s];
    if (!placed_[known] && lowest_[known] == floor_[s] && p_.lo[known] <= s && s < p_.hi[known]) return floor_[s];
    N least = kWall;
    for (int64_t k = cover_begin_[s]; k < cover_begin_[s + 1]; ++k) {
      const int32_t i = cover_[k];
      if (placed_[i] || lowest_[i] >= least) continue;
      least = lowest_[i], witness_[s] = i;
      if (least <= floor_[s]) break;
    }
    return least;
  }

  Outcome solve(Items items, int32_t low, int32_t high, int32_t from, int32_t to) {
    if (++nodes_ > last_node_) return Outcome::kStopped;
    if ((nodes_ & 0xff) == 0 && control_.stopped()) return Outcome::kStopped;
    if (!propagate(items, low, high, from, to)) return Outcome::kFails;
    if (items.size() == 1) {
      offset_[items[0]] = lowest_[items[0]];
      return Outcome::kFits;
    }
    const Stack::Mark mark(stack_);
    const int32_t section = choose_section(items, low, high);
    const int32_t ways = count_[section] + (slack_[section] > 0);
    if (ways == 0) return Outcome::kFails;
    const bool remember = ways > 1 && on(kMemory);
    std::span<const uint16_t> state;
    if (remember) {
      state = describe(items, low, high);
      if (failed_.contains(state)) return Outcome::kFails;
    }
    const Outcome outcome = branch(items, low, high, section);
    if (outcome == Outcome::kFails && remember) failed_.insert(state);
    return outcome;
  }

  // Counts the items that can lie on the floor of their valley now (sum_ and count_), and returns the best section.
  int32_t choose_section(Items items, int32_t low, int32_t high) {
    mark_valleys(low, high);
    sum_[low] = 0;
    for (int32_t s = low; s < high; ++s) sum_[s + 1] = sum_[s] + supported_[s];
    std::fill(count_.begin() + low, count_.begin() + high + 1, 0);
    for (const int32_t i : items) {
      if (lies(i)) ++count_[p_.lo[i]], --count_[p_.hi[i]];
    }
    int32_t best = -1;
    double least = std::numeric_limits<double>::max();
    for (int32_t s = low, count = 0; s < high; ++s) {
      count_[s] = count += count_[s];
      if (!valley_[s]) continue;
      const double ways = on(kFailFirst) ? count + (slack_[s] > 0) : static_cast<double>(floor_[s]) / capacity_;
      const double rank = ways + (on(kTightness) ? tightness_ * slack_[s] / capacity_ : 0.0);
      if (rank < least) least = rank, best = s;
    }
    return best;
  }

  void mark_valleys(int32_t low, int32_t high) {
    for (int32_t s = low; s < high;) {
      int32_t end = s + 1;
      while (end < high && floor_[end] == floor_[s]) ++end;
      const bool open = floor_[s] < kWall;
      const bool valley = open && (s == low || floor_[s - 1] > floor_[s]) && (end == high || floor_[end] > floor_[s]);
      std::fill(valley_.begin() + s, valley_.begin() + end, valley);
      s = end;
    }
  }

  // Whether item i lies within a valley and can be placed on its floor; call after mark_valleys.
  bool lies(int32_t i) const {
    const int32_t s = p_.lo[i];
    return valley_[s] && lowest_[i] == floor_[s] && (sum_[p_.hi[i]] > sum_[s] || !on(kSupport));
  }

  // Everything the rest of the search depends on: which items are unplaced, and the floors with what supports them.
  std::span<const uint16_t> describe(Items items, int32_t low, int32_t high) {
    const int32_t first = items.front(), range = items.back() - first + 1, words = (range + 15) / 16;
    const size_t each = narrow_ ? 1 : sizeof(N) / sizeof(uint16_t);
    const size_t size = kHeader + words + (high - low) * each;
    uint16_t* state = stack_.take<uint16_t>(size);
    const int32_t header[] = {first, low, words};
    std::memcpy(state, header, sizeof header);
    uint16_t* open = state + kHeader;
    std::fill(open, open + words, 0);
    for (const int32_t i : items) open[(i - first) / 16] |= static_cast<uint16_t>(1u << (i - first) % 16);
    for (int32_t s = low; s < high; ++s) {
      const N value = 2 * floor_[s] + supported_[s];
      std::memcpy(open + words + (s - low) * each, &value, each * sizeof(uint16_t));  // little-endian: the low bytes
    }
    return {state, size};
  }

  // A copy of what a branch changes.
  struct Saved {
    N *floor, *slack, *lowest;
    char* supported;
  };

  Saved save(Items items, int32_t low, int32_t high) {
    const size_t width = high - low;
    Saved s{stack_.take<N>(width), stack_.take<N>(width), stack_.take<N>(items.size()), stack_.take<char>(width)};
    std::copy_n(&floor_[low], width, s.floor);
    std::copy_n(&slack_[low], width, s.slack);
    std::copy_n(&supported_[low], width, s.supported);
    for (size_t k = 0; k < items.size(); ++k) s.lowest[k] = lowest_[items[k]];
    return s;
  }

  void restore(const Saved& s, Items items, int32_t low, int32_t high) {
    const size_t width = high - low;
    std::copy_n(s.floor, width, &floor_[low]);
    std::copy_n(s.slack, width, &slack_[low]);
    std::copy_n(s.supported, width, &supported_[low]);
    for (size_t k = 0; k < items.size(); ++k) lowest_[items[k]] = s.lowest[k], placed_[items[k]] = 0;
  }

  Outcome branch(Items items, int32_t low, int32_t high, int32_t section) {
    const auto choices = sorted_choices(items, section);
    const N level = next_level(items, section);
    const Saved saved = save(items, low, high);
    for (const int32_t item : choices) {
      const Outcome outcome = place(items, item, low, high);
      if (outcome != Outcome::kFails) return outcome;
      restore(saved, items, low, high);
    }
    if (level > slack_[section] + floor_[section]) return Outcome::kFails;
    slack_[section] -= level - floor_[section];
    floor_[section] = level, supported_[section] = 0;
    const Outcome outcome = solve(items, low, high, section, section + 1);
    if (outcome == Outcome::kFails) restore(saved, items, low, high);
    return outcome;
  }

  Items sorted_choices(Items items, int32_t section) {
    struct Ranked {
      double rank;
      int32_t item;
    };
    Ranked* ranked = stack_.take<Ranked>(count_[section]);
    size_t count = 0;
    for (const int32_t i : items) {
      if (p_.lo[i] > section) break;
      if (section >= p_.hi[i] || !lies(i)) continue;
      const bool twin =
          on(kTwins) && std::any_of(ranked, ranked + count, [&](const Ranked& r) { return twins(r.item, i); });
      if (!twin) ranked[count++] = {-priority_[i] * (1.0 + noise_ * random_.uniform()), i};
    }
    std::sort(ranked, ranked + count,
              [](const Ranked& a, const Ranked& b) { return a.rank != b.rank ? a.rank < b.rank : a.item < b.item; });
    int32_t* chosen = stack_.take<int32_t>(count);
    for (size_t k = 0; k < count; ++k) chosen[k] = ranked[k].item;
    return {chosen, count};
  }

  bool twins(int32_t a, int32_t b) const {
    const bool plain = p_.profile_begin[a] < 0 && p_.profile_begin[b] < 0;
    return plain && p_.lo[a] == p_.lo[b] && p_.hi[a] == p_.hi[b] && size_[a] == size_[b] && top_[a] == top_[b];
  }

  // The lowest offset above its floor at which an item can begin over `section`. An item that extends beyond the valley
  // has such an offset already. Another item lies on top of an unplaced one, and if it is the lowest over `section`,
  // that one does not cover `section`.
  N next_level(Items items, int32_t section) const {
    if (slack_[section] <= 0) return kWall;
    if (!on(kLevels)) return floor_[section] + 1;
    N level = kWall;
    for (const int32_t i : items) {
      if (p_.lo[i] > section) break;
      if (section >= p_.hi[i]) continue;
      if (lowest_[i] > floor_[section]) {
        level = std::min(level, lowest_[i]);
        continue;
      }
      for (const int32_t j : items) {
        if (p_.lo[j] >= p_.hi[i]) break;
        if (p_.hi[j] <= p_.lo[i] || (p_.lo[j] <= section && section < p_.hi[j])) continue;
        level = std::min<N>(level, lowest_[j] + least_height(j, p_.lo[i], p_.hi[i]));
      }
    }
    return level;
  }

  N least_height(int32_t j, int32_t from, int32_t to) const {
    if (p_.profile_begin[j] < 0) return size_[j];
    int64_t least = size_[j];
    for (int32_t s = std::max(from, p_.lo[j]); s < std::min(to, p_.hi[j]); ++s)
      least = std::min(least, p_.height(j, s));
    return static_cast<N>(least);
  }

  // Puts `item` on its floor and searches the rest, one independent period after the other.
  Outcome place(Items items, int32_t item, int32_t low, int32_t high) {
    const int32_t from = p_.lo[item], to = p_.hi[item];
    offset_[item] = lowest_[item];
    placed_[item] = 1;
    for (int32_t s = from; s < to; ++s) {
      floor_[s] = static_cast<N>(lowest_[item] + p_.height(item, s));
      supported_[s] = 1;
    }
    const Stack::Mark mark(stack_);
    int32_t* rest = stack_.take<int32_t>(items.size() - 1);
    std::copy_if(items.begin(), items.end(), rest, [&](int32_t i) { return i != item; });
    const Items left(rest, items.size() - 1);
    if (!on(kDecompose)) {
      for (int32_t s = from; s < to; ++s) {
        if (lowest_over(s) == kWall) floor_[s] = kWall, supported_[s] = 0;  // no longer a valley to fill
      }
      return solve(left, low, high, from, to);
    }
    const auto parts = stretches(left);
    for (const auto& part : parts) {
      const auto inside = left.subspan(part.begin, part.end - part.begin);
      const Outcome outcome = solve(inside, part.low, part.high, std::max(from, part.low), std::min(to, part.high));
      if (outcome != Outcome::kFits) return outcome;
    }
    return Outcome::kFits;
  }

  struct Stretch {
    size_t begin, end;
    int32_t low, high;
  };

  // Smallest first: it fails fastest.
  std::span<Stretch> stretches(Items items) {
    Stretch* parts = stack_.take<Stretch>(items.size());
    size_t count = 0;
    for (size_t k = 0; k < items.size(); ++k) {
      const int32_t i = items[k];
      if (count == 0 || p_.lo[i] >= parts[count - 1].high) parts[count++] = {k, k, p_.lo[i], p_.hi[i]};
      parts[count - 1].end = k + 1;
      parts[count - 1].high = std::max(parts[count - 1].high, p_.hi[i]);
    }
    std::sort(parts, parts + count, [](const Stretch& a, const Stretch& b) {
      const size_t x = a.end - a.begin, y = b.end - b.begin;
      return x != y ? x < y : a.begin < b.begin;
    });
    return {parts, count};
  }

  const Problem& p_;
  const Control& control_;
  const int64_t disabled_;
  FailedStates failed_;
  Stack stack_;
  Random random_{0};
  bool narrow_ = false;
  double noise_ = 0, tightness_ = 0, capacity_ = 0;
  int64_t nodes_ = 0, last_node_ = 0;
  std::vector<int64_t> initial_slack_, offset_, cover_begin_;
  std::vector<N> top_, size_, floor_, slack_, lowest_;  // lowest_: the smallest offset each item can take
  std::vector<char> supported_, valley_, placed_;       // supported_: something ends at the floor
  std::vector<int32_t> sum_, count_, witness_, cover_;
  std::vector<double> priority_;
};

}  // namespace memopt::layout
