// Search by several threads at several capacities in turns: the bound, the middle, and just below the incumbent.
#pragma once

#include <mutex>
#include <thread>

#include "greedy.h"
#include "search.h"

namespace memopt::layout {

struct Task {
  int64_t capacity;  // bytes to fit in; negative: minimise the arena
  int64_t target;    // an arena of at most this size is good enough
  uint64_t seed;
  int threads;
  int64_t disabled;
  int64_t memory_nbytes;  // for all failed states together
};

struct Found {
  Offsets offsets;  // per item, in units; empty if nothing was found
  int64_t arena = INT64_MAX;
  int64_t bound = 0;  // lower bound on the arena
  int64_t nodes = 0;
};

constexpr int32_t kMostItems = 4000;  // per component: memory grows with its square
constexpr int64_t kFirstNodes = 1000;
constexpr int kPreferences = 3;
constexpr double kTightnesses[] = {0.0, 10.0, 40.0};

// 1, 1, 2, 1, 1, 2, 4, 1, ...: within a factor of log(n) of the best restarts (Luby, Sinclair, Zuckerman 1993).
inline int64_t luby(int64_t index) {
  int bits = 1;
  while ((int64_t{1} << bits) - 1 < index) ++bits;
  return (int64_t{1} << bits) - 1 == index ? int64_t{1} << (bits - 1) : luby(index - (int64_t{1} << (bits - 1)) + 1);
}

// One capacity, and what is known about it.
template <typename N>
class Rung {
 public:
  Rung(const Problem& p, int64_t capacity, const Task& task, const Control& control)
      : capacity(capacity),
        p_(p),
        task_(task),
        search_(p, capacity, task.disabled, task.memory_nbytes / (3 * task.threads), control),
        offsets_(p.items()),
        components_(p.components()) {}

  // Components that `offsets` already fits into the capacity need no search.
  void take_over(const Offsets& offsets) {
    std::erase_if(components_, [&](const auto& range) {
      for (int32_t i = range.first; i < range.second; ++i) {
        if (offsets.empty() || offsets[i] * p_.unit + p_.nbytes[i] > capacity) return false;
      }
      std::copy(offsets.begin() + range.first, offsets.begin() + range.second, offsets_.begin() + range.first);
      return true;
    });
  }

  // Searches again the components that do not fit yet.
  Outcome turn(int thread) {
    const bool restarts = (task_.disabled & kRestarts) == 0;
    const int64_t nodes = restarts ? kFirstNodes * luby(runs_ / kPreferences + 1) : INT64_MAX / 2;
    prefer(thread);
    ++runs_;
    for (size_t k = 0; k < components_.size();) {
      const auto [begin, end] = components_[k];
      const Outcome outcome = end - begin > kMostItems ? Outcome::kStopped : search_.run(begin, end, nodes);
      if (outcome == Outcome::kFails) return outcome;
      if (outcome == Outcome::kStopped) {
        ++k;
        continue;
      }
      for (int32_t i = begin; i < end; ++i) offsets_[i] = search_.offset(i);
      components_.erase(components_.begin() + static_cast<std::ptrdiff_t>(k));
    }
    return components_.empty() ? Outcome::kFits : Outcome::kStopped;
  }

  // Whether all remaining components are too large for the search.
  bool hopeless() const {
    return std::ranges::all_of(components_, [](const auto& c) { return c.second - c.first > kMostItems; });
  }

  const Offsets& offsets() const { return offsets_; }
  int64_t nodes() const { return search_.nodes(); }
  const int64_t capacity;

 private:
  // Sets branching priorities: large, wide or tall items first; after the first runs with randomness.
  void prefer(int thread) {
    const int run = runs_ + thread;
    std::vector<double> priority(p_.items());
    for (int32_t i = 0; i < p_.items(); ++i) {
      const double width = p_.hi[i] - p_.lo[i], height = static_cast<double>(p_.size[i]);
      switch (run % kPreferences) {
        case 0:
          priority[i] = width * height;
          break;
        case 1:
          priority[i] = width + height * 1e-12;
          break;
        default:
          priority[i] = height + width * 1e-6;
          break;
      }
    }
    const double tightness = kTightnesses[run / kPreferences % std::size(kTightnesses)];
    const double noise = run < kPreferences ? 0.0 : 1.0;
    search_.prefer(std::move(priority), noise, tightness, task_.seed * 1000003 + thread * 7919 + runs_);
  }

  const Problem& p_;
  const Task& task_;
  Search<N> search_;
  Offsets offsets_;
  std::vector<std::pair<int32_t, int32_t>> components_;  // those that do not fit yet
  int runs_ = 0;
};

template <typename N>
class Ladder {
 public:
  Ladder(const Problem& p, const Task& task, const Control& control, Found start)
      : p_(p), task_(task), control_(control), best_(std::move(start)) {}

  Found climb() {
    std::vector<std::thread> others;
    for (int t = 1; t < task_.threads; ++t) others.emplace_back([this, t] { work(t); });
    work(0);
    for (auto& thread : others) thread.join();
    return std::move(best_);
  }

 private:
  using Rungs = std::vector<std::unique_ptr<Rung<N>>>;

  void work(int thread) {
    Rungs rungs;
    while (Rung<N>* rung = next(rungs)) {
      const int64_t before = rung->nodes();
      const Outcome outcome = rung->turn(thread);
      const std::lock_guard guard(lock_);
      best_.nodes += rung->nodes() - before;
      if (outcome == Outcome::kFails) best_.bound = std::max(best_.bound, p_.next_arena(rung->capacity));
      if (outcome != Outcome::kFits) continue;
      if (const int64_t arena = p_.arena(rung->offsets()); arena < best_.arena) {
        best_.arena = arena, best_.offsets = rung->offsets();
      }
    }
  }

  // The rung for this thread with the least work so far among the useful ones; null when done.
  Rung<N>* next(Rungs& rungs) {
    const std::lock_guard guard(lock_);
    const int64_t goal = std::max(best_.bound, task_.capacity >= 0 ? task_.capacity : task_.target);
    if (control_.stopped() || best_.arena <= goal || (task_.capacity >= 0 && best_.bound > task_.capacity)) {
      control_.stop();
      return nullptr;
    }
    const auto capacities = wanted(goal);
    std::erase_if(rungs,
                  [&](const auto& rung) { return std::ranges::find(capacities, rung->capacity) == capacities.end(); });
    for (const int64_t capacity : capacities) {
      if (std::ranges::any_of(rungs, [&](const auto& rung) { return rung->capacity == capacity; })) continue;
      rungs.push_back(std::make_unique<Rung<N>>(p_, capacity, task_, control_));
    }
    Rung<N>* chosen = nullptr;
    for (const auto& rung : rungs) {
      rung->take_over(best_.offsets);
      if (!rung->hopeless() && (!chosen || rung->nodes() < chosen->nodes())) chosen = rung.get();
    }
    return chosen;
  }

  // Capacities in ascending order: of rungs with equal work, the lowest comes first.
  std::vector<int64_t> wanted(int64_t goal) const {
    if (task_.capacity >= 0) return {task_.capacity};
    const int64_t below = best_.arena - 1;
    if (task_.disabled & kLadder) return {below};
    std::vector<int64_t> found{goal, goal + (best_.arena - goal) / 2, below};
    for (auto& capacity : found) capacity = std::min(capacity, below) / p_.unit * p_.unit;  // only a few distinct ones
    for (auto& capacity : found) capacity = std::max(capacity, goal);
    std::ranges::sort(found);
    found.erase(std::ranges::unique(found).begin(), found.end());
    return found;
  }

  const Problem& p_;
  const Task& task_;
  const Control& control_;
  std::mutex lock_;
  Found best_;
};

// Greedy placement first, then the search, in 32 bits if the sizes allow it.
inline Found solve(const Problem& p, const Task& task, const Control& control) {
  Found found;
  found.bound = p.load_bound();
  if (task.capacity >= 0 && found.bound > task.capacity) return found;
  const int64_t goal = std::max(found.bound, task.capacity >= 0 ? task.capacity : task.target);
  const bool greedy = (task.disabled & kGreedy) == 0 || p.items() == 0;
  Greedy start;
  if (greedy) {
    start = best_greedy(p, goal, control);
  } else if (task.capacity < 0) {
    start.offsets = replay(p, false, false), start.arena = p.arena(start.offsets);
  }
  found.offsets = std::move(start.offsets), found.arena = start.arena;
  if (found.arena <= goal) return found;
  const int64_t highest = task.capacity >= 0 ? task.capacity : found.arena;
  if (highest / p.unit < (1 << 28)) return Ladder<int32_t>(p, task, control, std::move(found)).climb();
  return Ladder<int64_t>(p, task, control, std::move(found)).climb();
}

}  // namespace memopt::layout
