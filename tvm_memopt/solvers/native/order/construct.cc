#include "construct.h"

#include <queue>
#include <tuple>

namespace memopt {

namespace {

std::vector<int32_t> waiting_counts(const Problem& problem) {
  std::vector<int32_t> waiting(problem.ops);
  for (int32_t op = 0; op < problem.ops; ++op) waiting[op] = static_cast<int32_t>(problem.before[op].size());
  return waiting;
}

// First in, first out.
std::vector<int32_t> kahn(const Problem& problem) {
  auto waiting = waiting_counts(problem);
  std::vector<int32_t> order;
  for (int32_t op = 0; op < problem.ops; ++op) {
    if (waiting[op] == 0) order.push_back(op);
  }
  for (size_t i = 0; i < order.size(); ++i) {
    for (int32_t s : problem.after[order[i]]) {
      if (--waiting[s] == 0) order.push_back(s);
    }
  }
  return order;
}

// Last in, first out.
std::vector<int32_t> dfs(const Problem& problem) {
  auto waiting = waiting_counts(problem);
  std::vector<int32_t> order, stack;
  for (int32_t op = problem.ops - 1; op >= 0; --op) {
    if (waiting[op] == 0) stack.push_back(op);
  }
  while (!stack.empty()) {
    const int32_t op = stack.back();
    stack.pop_back();
    order.push_back(op);
    const auto after = problem.after[op];
    for (size_t i = after.size(); i-- > 0;) {
      if (--waiting[after[i]] == 0) stack.push_back(after[i]);
    }
  }
  return order;
}

std::vector<int32_t> random_order(const Problem& problem, uint64_t seed) {
  auto waiting = waiting_counts(problem);
  Random random(seed);
  std::vector<int32_t> order, ready;
  for (int32_t op = 0; op < problem.ops; ++op) {
    if (waiting[op] == 0) ready.push_back(op);
  }
  while (!ready.empty()) {
    std::swap(ready[random.below(ready.size())], ready.back());
    const int32_t op = ready.back();
    ready.pop_back();
    order.push_back(op);
    for (int32_t s : problem.after[op]) {
      if (--waiting[s] == 0) ready.push_back(s);
    }
  }
  return order;
}

// Always takes the ready op with the smallest key: bytes live at its step, or left after it; ties by the other, then by
// id. All ready ops see the same live bytes, so keys leave them out. A changed op is pushed again; stale entries are
// skipped.
template <bool kReverse>
std::vector<int32_t> greedy(const Problem& problem, bool by_peak) {
  using Key = std::tuple<int64_t, int64_t, int32_t>;
  OrderState<kReverse> state(problem);
  std::priority_queue<Key, std::vector<Key>, std::greater<>> heap;
  const auto key = [&](int32_t op) {
    const int64_t extra = state.extra(op), delta = state.delta(op);
    return by_peak ? Key{extra, delta, op} : Key{delta, extra, op};
  };
  for (int32_t op : state.ready()) heap.push(key(op));
  std::vector<int32_t> order, changed;
  while (!heap.empty()) {
    const Key top = heap.top();
    heap.pop();
    const int32_t op = std::get<2>(top);
    if (!state.is_ready(op) || key(op) != top) continue;
    changed.clear();
    state.run(op, [&](int32_t other) { changed.push_back(other); });
    order.push_back(op);
    for (int32_t other : changed) {
      if (state.is_ready(other)) heap.push(key(other));
    }
  }
  if (kReverse) std::reverse(order.begin(), order.end());
  return order;
}

}  // namespace

std::vector<int32_t> construct(const Problem& problem, Construction how, uint64_t seed) {
  switch (how) {
    case Construction::kKahn:
      return kahn(problem);
    case Construction::kDfs:
      return dfs(problem);
    case Construction::kGreedyPeak:
      return greedy<false>(problem, true);
    case Construction::kGreedyDelta:
      return greedy<false>(problem, false);
    case Construction::kReversePeak:
      return greedy<true>(problem, true);
    case Construction::kReverseDelta:
      return greedy<true>(problem, false);
    case Construction::kRandom:
      return random_order(problem, seed);
  }
  throw std::runtime_error("ordering: no such construction");
}

}  // namespace memopt
