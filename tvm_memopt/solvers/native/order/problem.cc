// Construction of ordering problems, extraction of windows, and memory profiles of orders.
#include "problem.h"

#include "state.h"

namespace memopt {

namespace {

struct Matching {
  std::span<const InplacePair> pairs;
  std::vector<int32_t> sources, targets;      // distinct ids
  std::vector<int32_t> source_of, target_of;  // matched partners by rank, -1 if free

  explicit Matching(std::span<const InplacePair> all) : pairs(all) {
    for (const auto& pair : pairs) {
      sources.push_back(pair.source);
      targets.push_back(pair.target);
    }
    for (auto* ids : {&sources, &targets}) {
      std::sort(ids->begin(), ids->end());
      ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
    }
    target_of.assign(sources.size(), -1);
    source_of.assign(targets.size(), -1);
  }

  static int32_t rank(const std::vector<int32_t>& ids, int32_t id) {
    return static_cast<int32_t>(std::lower_bound(ids.begin(), ids.end(), id) - ids.begin());
  }

  int64_t weight(int32_t source, int32_t target) const {
    for (const auto& pair : pairs) {
      if (pair.source == sources[source] && pair.target == targets[target]) return pair.shared;
    }
    return 0;
  }

  // Augments along the path of largest gain. Returns that gain, or 0 if there is none.
  int64_t augment() {
    std::vector<int64_t> gain(targets.size(), -1);
    std::vector<int32_t> via(targets.size(), -1);
    for (bool changed = true; changed;) {
      changed = false;
      for (const auto& pair : pairs) {
        const int32_t source = rank(sources, pair.source), target = rank(targets, pair.target);
        const int32_t before = target_of[source];
        if (before == target || (before >= 0 && gain[before] < 0)) continue;
        const int64_t reached = before < 0 ? pair.shared : gain[before] - weight(source, before) + pair.shared;
        if (reached > gain[target]) {
          gain[target] = reached;
          via[target] = source;
          changed = true;
        }
      }
    }
    int32_t best = -1;
    for (size_t t = 0; t < targets.size(); ++t) {
      if (source_of[t] < 0 && gain[t] > 0 && (best < 0 || gain[t] > gain[best])) best = static_cast<int32_t>(t);
    }
    if (best < 0) return 0;
    const int64_t total = gain[best];
    for (int32_t target = best; target >= 0;) {
      const int32_t source = via[target], next = target_of[source];
      source_of[target] = source;
      target_of[source] = target;
      target = next;
    }
    return total;
  }
};

// The role of a tensor in a window of an order.
enum class Role { kFreed, kCrossing, kKept };

}  // namespace

int64_t best_sharing(std::span<const InplacePair> pairs) {
  if (pairs.empty()) return 0;
  if (pairs.size() == 1) return pairs[0].shared;
  Matching matching(pairs);
  int64_t total = 0;
  while (const int64_t gain = matching.augment()) total += gain;
  return total;
}

Problem problem_in_order(const PackedProblem& packed, std::span<const int32_t> order) {
  Problem result;
  const int32_t n = result.ops = packed.ops;
  result.tensors = packed.tensors;
  result.start_live = packed.start_live;
  result.orphans = packed.orphans;
  result.nbytes.assign(packed.nbytes.begin(), packed.nbytes.end());
  std::vector<int32_t> place(n, -1);
  for (int32_t step = 0; step < n; ++step) place.at(order[step]) = step;
  result.pair_start.push_back(0);
  for (int32_t op : order) {
    for (int32_t other : packed.before[op]) {
      if (place[other] < 0 || place[other] >= place[op])
        throw std::runtime_error("ordering problem: not a topological order");
      result.before.add(place[other]);
    }
    result.before.close();
    for (int32_t tensor : packed.reads[op]) result.reads.add(tensor);
    result.reads.close();
    const auto pair_items = packed.pairs[op];
    const size_t first_pair = packed.pairs.start[op] / 2;
    for (size_t i = 0; i < pair_items.size(); i += 2) {
      result.pairs.push_back({pair_items[i], pair_items[i + 1], packed.shared[first_pair + i / 2]});
    }
    result.pair_start.push_back(static_cast<int32_t>(result.pairs.size()));
    result.transient.push_back(packed.transient[op]);
    result.kept.push_back(packed.kept[op]);
  }
  result.after = transposed(result.before, n);
  result.readers = transposed(result.reads, result.tensors);
  std::vector<int32_t> first(n + 1, 0);
  for (int32_t op : packed.producer) {
    result.producer.push_back(op < 0 ? -1 : place[op]);
    if (op >= 0) ++first[place[op] + 1];
  }
  std::partial_sum(first.begin(), first.end(), first.begin());
  result.writes.start = first;
  result.writes.items.resize(first.back());
  for (int32_t t = 0; t < result.tensors; ++t) {
    if (result.producer[t] >= 0) result.writes.items[first[result.producer[t]]++] = t;
  }
  return result;
}

Problem reordered(const Problem& whole, std::span<const int32_t> order) {
  Problem result;
  const int32_t n = result.ops = whole.ops;
  result.tensors = whole.tensors;
  result.start_live = whole.start_live;
  result.orphans = whole.orphans;
  result.nbytes = whole.nbytes;
  std::vector<int32_t> place(n);
  for (int32_t step = 0; step < n; ++step) place[order[step]] = step;
  result.pair_start.push_back(0);
  for (int32_t op : order) {
    for (int32_t other : whole.before[op]) result.before.add(place[other]);
    result.before.close();
    for (int32_t tensor : whole.reads[op]) result.reads.add(tensor);
    result.reads.close();
    for (int32_t tensor : whole.writes[op]) result.writes.add(tensor);
    result.writes.close();
    for (const auto& pair : whole.pairs_of(op)) result.pairs.push_back(pair);
    result.pair_start.push_back(static_cast<int32_t>(result.pairs.size()));
    result.transient.push_back(whole.transient[op]);
    result.kept.push_back(whole.kept[op]);
  }
  result.after = transposed(result.before, n);
  result.readers = transposed(result.reads, result.tensors);
  for (int32_t op : whole.producer) result.producer.push_back(op < 0 ? -1 : place[op]);
  return result;
}

Problem window_of(const Problem& whole, int32_t first, int32_t last) {
  Problem result;
  const int32_t n = result.ops = last - first;
  result.orphans = first == 0 ? whole.orphans : 0;
  int64_t live = whole.start_live;  // before step `first`: everything produced, minus everything dead
  for (int32_t op = 0; op < first; ++op) live += whole.kept[op];
  std::vector<int32_t> local(whole.tensors, -1);
  for (int32_t t = 0; t < whole.tensors; ++t) {
    const int32_t end = whole.readers[t].back();
    if (end < first) live -= whole.nbytes[t];
    if (end < first || end >= last) continue;
    local[t] = result.tensors++;
    result.nbytes.push_back(whole.nbytes[t]);
    const int32_t producer = whole.producer[t];
    result.producer.push_back(producer < first ? -1 : producer - first);
  }
  result.start_live = live;
  result.pair_start.push_back(0);
  for (int32_t op = first; op < last; ++op) {
    for (int32_t other : whole.before[op]) {
      if (other >= first) result.before.add(other - first);
    }
    result.before.close();
    for (int32_t t : whole.reads[op]) {
      if (local[t] >= 0) result.reads.add(local[t]);
    }
    result.reads.close();
    for (int32_t t : whole.writes[op]) {
      if (local[t] >= 0) result.writes.add(local[t]);
    }
    result.writes.close();
    for (auto pair : whole.pairs_of(op)) {
      pair.source = local[pair.source];
      if (pair.source >= 0) result.pairs.push_back(pair);
    }
    result.pair_start.push_back(static_cast<int32_t>(result.pairs.size()));
    result.transient.push_back(whole.transient[op]);
    result.kept.push_back(whole.kept[op]);
  }
  result.after = transposed(result.before, n);
  result.readers = transposed(result.reads, result.tensors);
  return result;
}

std::vector<int64_t> profile_of(const Problem& problem, std::span<const int32_t> order) {
  ForwardState state(problem);
  std::vector<int64_t> held;
  held.reserve(order.size());
  for (int32_t op : order) {
    held.push_back(state.step_bytes(op));
    state.run(op);
  }
  return held;
}

int64_t peak_of(const Problem& problem, std::span<const int32_t> order) {
  const auto held = profile_of(problem, order);
  return held.empty() ? 0 : *std::max_element(held.begin(), held.end());
}

// A cut is forced if every maximal op of the executed set is a direct predecessor of every ready op.
std::vector<int32_t> forced_cuts(const Problem& problem) {
  const int32_t n = problem.ops;
  std::vector<char> maximal(n, 0), ready(n, 0);
  std::vector<int32_t> waiting(n);
  int64_t tops = 0, readies = 0, edges = 0;
  for (int32_t op = 0; op < n; ++op) {
    waiting[op] = static_cast<int32_t>(problem.before[op].size());
    if (waiting[op] == 0) ready[op] = 1, ++readies;
  }
  std::vector<int32_t> cuts{0};
  for (int32_t op = 0; op < n; ++op) {
    ready[op] = 0;
    --readies;
    for (int32_t p : problem.before[op]) {
      if (!maximal[p]) continue;
      maximal[p] = 0;
      --tops;
      --edges;
      for (int32_t s : problem.after[p]) edges -= ready[s];
    }
    maximal[op] = 1;
    ++tops;
    for (int32_t s : problem.after[op]) {
      if (--waiting[s] != 0) continue;
      ready[s] = 1;
      ++readies;
      for (int32_t p : problem.before[s]) edges += maximal[p];
    }
    if (edges == tops * readies || op + 1 == n) cuts.push_back(op + 1);
  }
  return cuts;
}

}  // namespace memopt
