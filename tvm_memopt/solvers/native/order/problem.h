// The ordering problem as flat arrays, as packed by Python, and windows of it as separate problems.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <stdexcept>
#include <vector>

namespace memopt {

// Rows of a sparse table: row r is items[start[r]] .. items[start[r + 1]].
template <typename Starts, typename Items>
struct Rows {
  Starts start;
  Items items;

  auto operator[](size_t row) const {
    return std::span<const int32_t>(items.data() + start[row], static_cast<size_t>(start[row + 1] - start[row]));
  }
  size_t size() const { return start.size() - 1; }
};

using RowsView = Rows<std::span<const int32_t>, std::span<const int32_t>>;

struct RowsOwned : Rows<std::vector<int32_t>, std::vector<int32_t>> {
  RowsOwned() { start.push_back(0); }
  void add(int32_t item) { items.push_back(item); }
  void close() { start.push_back(static_cast<int32_t>(items.size())); }
};

// Transpose: for each item below `columns`, the rows that contain it, in ascending order.
template <typename Table>
RowsOwned transposed(const Table& rows, size_t columns) {
  RowsOwned result;
  result.start.assign(columns + 1, 0);
  for (size_t row = 0; row < rows.size(); ++row) {
    for (int32_t item : rows[row]) ++result.start[item + 1];
  }
  std::partial_sum(result.start.begin(), result.start.end(), result.start.begin());
  result.items.resize(result.start.back());
  std::vector<int32_t> next(result.start.begin(), result.start.end() - 1);
  for (size_t row = 0; row < rows.size(); ++row) {
    for (int32_t item : rows[row]) result.items[next[item]++] = static_cast<int32_t>(row);
  }
  return result;
}

// Input `source` (a freed tensor) and output number `target` of one op may share `shared` bytes.
struct InplacePair {
  int32_t source;
  int32_t target;
  int64_t shared;
};

// A problem as packed by problem.py. "Freed" tensors are those that die in some op: planned, read and not returned.
struct PackedProblem {
  int32_t ops = 0;
  int32_t tensors = 0;
  int64_t start_live = 0;
  int64_t orphans = 0;
  RowsView before;                     // per op: its predecessors
  RowsView reads;                      // per op: freed tensors that it reads
  RowsView pairs;                      // per op: (source, target) alternating
  std::span<const int32_t> producer;   // per freed tensor: op, or -1
  std::span<const int64_t> nbytes;     // per freed tensor
  std::span<const int64_t> transient;  // per op: written bytes and workspace
  std::span<const int64_t> kept;       // per op: written bytes that outlive the step
  std::span<const int64_t> shared;     // per in-place pair, in the order of `pairs`

  PackedProblem(std::span<const int32_t> index, std::span<const int64_t> bytes) {
    Cursor<int32_t> from{index};
    ops = from.one();
    tensors = from.one();
    before = rows(from, ops);
    reads = rows(from, ops);
    pairs = rows(from, ops);
    producer = from.take(tensors);
    Cursor<int64_t> sizes{bytes};
    start_live = sizes.one();
    orphans = sizes.one();
    nbytes = sizes.take(tensors);
    transient = sizes.take(ops);
    kept = sizes.take(ops);
    shared = sizes.take(pairs.items.size() / 2);
  }

 private:
  template <typename T>
  struct Cursor {
    std::span<const T> values;
    size_t at = 0;
    std::span<const T> take(size_t count) {
      if (at + count > values.size()) throw std::runtime_error("ordering problem: the packed arrays are too short");
      at += count;
      return values.subspan(at - count, count);
    }
    T one() { return take(1)[0]; }
  };

  static RowsView rows(Cursor<int32_t>& from, size_t count) {
    RowsView table;
    table.start = from.take(count + 1);
    table.items = from.take(table.start[count]);
    return table;
  }
};

// Maximum total bytes over pairs that use each input and each output once: a maximum-weight matching, built by
// augmenting paths of largest gain (Bellman-Ford), as in graph.liveness.best_sharing.
int64_t best_sharing(std::span<const InplacePair> pairs);

// An ordering problem that owns its arrays. Ops are numbered so that 0, 1, 2 … is a valid order.
struct Problem {
  int32_t ops = 0;
  int32_t tensors = 0;
  int64_t start_live = 0;   // bytes live before the first step and still needed
  int64_t orphans = 0;      // further bytes live at the first step only
  RowsOwned before, after;  // predecessors and successors
  RowsOwned reads, readers;
  RowsOwned writes;  // per op: the freed tensors that it produces
  std::vector<int32_t> producer;
  std::vector<int64_t> nbytes, transient, kept;
  std::vector<int32_t> pair_start;
  std::vector<InplacePair> pairs;

  std::span<const InplacePair> pairs_of(int32_t op) const {
    return {pairs.data() + pair_start[op], static_cast<size_t>(pair_start[op + 1] - pair_start[op])};
  }
  bool has_pairs(int32_t op) const { return pair_start[op] != pair_start[op + 1]; }
};

// The whole problem, with ops renumbered by their position in `order`.
Problem problem_in_order(const PackedProblem& packed, std::span<const int32_t> order);

// Steps first .. last - 1 of the order 0, 1, 2 … as a problem; the ops before and after stay in place.
Problem window_of(const Problem& whole, int32_t first, int32_t last);

// The same problem, with ops renumbered by their position in `order`.
Problem reordered(const Problem& whole, std::span<const int32_t> order);

// Live bytes at each step of `order`, exactly as in graph.liveness.live_profile.
std::vector<int64_t> profile_of(const Problem& problem, std::span<const int32_t> order);
int64_t peak_of(const Problem& problem, std::span<const int32_t> order);

// The steps k at which every order has executed the same k ops, including 0 and n. O(edges).
std::vector<int32_t> forced_cuts(const Problem& problem);

inline std::vector<int32_t> identity_order(int32_t ops) {
  std::vector<int32_t> order(ops);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

}  // namespace memopt
