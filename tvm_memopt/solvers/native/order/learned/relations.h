// Relations between ops: ancestors as bit sets, redundant edges, and the bytes that must be live when an op runs.
#pragma once

#include "../problem.h"

namespace memopt {

class BitMatrix {
 public:
  BitMatrix(int32_t rows, int32_t columns) : words_((static_cast<size_t>(columns) + 63) / 64), bits_(words_ * rows) {}

  size_t words() const { return words_; }
  std::span<uint64_t> row(int32_t r) { return {bits_.data() + words_ * r, words_}; }
  std::span<const uint64_t> row(int32_t r) const { return {bits_.data() + words_ * r, words_}; }
  bool at(int32_t r, int32_t column) const { return row(r)[column >> 6] >> (column & 63) & 1; }
  void set(int32_t r, int32_t column) { row(r)[column >> 6] |= uint64_t{1} << (column & 63); }
  void unite(int32_t r, std::span<const uint64_t> other) {
    const auto own = row(r);
    for (size_t w = 0; w < own.size(); ++w) own[w] |= other[w];
  }

 private:
  size_t words_;
  std::vector<uint64_t> bits_;
};

// Row v: the ops that run before v in every order (transitive closure). `redundant`: for each edge, in the order of
// problem.before, whether another path connects its ends, so that the transitive reduction leaves it out.
// O(edges * ops / 64). Ops must be numbered in a valid order.
BitMatrix ancestors_of(const Problem& problem, std::span<int32_t> redundant);

// Row v: the ops that run after v in every order.
BitMatrix descendants_of(const Problem& problem);

// For each op: bytes live at its step in every order. These are its own bytes and those of tensors that an ancestor
// produces (or that are inputs) and that the op or a descendant reads. In-place sharing is left out.
std::vector<int64_t> forced_bytes(const Problem& problem, const BitMatrix& ancestors, const BitMatrix& descendants);

}  // namespace memopt
