#include "problem.h"

namespace memopt {

namespace {

template <typename T>
class Cursor {
 public:
  explicit Cursor(std::span<const T> values) : values_(values) {}
  std::span<const T> take(size_t count) {
    if (at_ + count > values_.size()) throw std::runtime_error("remat problem: the packed arrays are too short");
    at_ += count;
    return values_.subspan(at_ - count, count);
  }
  T one() { return take(1)[0]; }

 private:
  std::span<const T> values_;
  size_t at_ = 0;
};

template <typename To, typename From>
std::vector<To> copied(std::span<const From> values) {
  return {values.begin(), values.end()};
}

RowsOwned rows(Cursor<int32_t>& from, int32_t count) {
  RowsOwned table;
  table.start = copied<int32_t>(from.take(count + 1));
  table.items = copied<int32_t>(from.take(table.start[count]));
  return table;
}

}  // namespace

RematProblem::RematProblem(std::span<const int32_t> index, std::span<const int64_t> bytes,
                           std::span<const double> costs) {
  Cursor<int32_t> from(index);
  ops = from.one();
  tensors = from.one();
  before = rows(from, ops);
  reads = rows(from, ops);
  writes = rows(from, ops);
  const RowsOwned packed_pairs = rows(from, ops);
  producer = copied<int32_t>(from.take(tensors));
  returned = copied<uint8_t>(from.take(tensors));
  repeatable = copied<uint8_t>(from.take(ops));
  Cursor<int64_t> sizes(bytes);
  orphans = sizes.one();
  nbytes = copied<int64_t>(sizes.take(tensors));
  workspace = copied<int64_t>(sizes.take(ops));
  const auto weights = sizes.take(packed_pairs.items.size() / 2);  // per in-place pair
  if (static_cast<int32_t>(costs.size()) != ops) throw std::runtime_error("remat problem: expected one cost an op");
  cost = copied<double>(costs);
  after = transposed(before, ops);
  shared_in.assign(tensors, 0);
  pair_start.push_back(0);
  for (int32_t op = 0; op < ops; ++op) {
    const auto row = packed_pairs[op];
    for (size_t i = 0; i + 1 < row.size(); i += 2) {
      pairs.push_back({row[i], row[i + 1], weights[pairs.size()]});
      shared_in[row[i]] = 1;
    }
    pair_start.push_back(static_cast<int32_t>(pairs.size()));
  }
}

}  // namespace memopt
