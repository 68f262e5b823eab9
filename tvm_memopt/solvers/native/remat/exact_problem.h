// A rematerialisation problem of at most 128 ops and 128 storages, as bit sets.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

namespace memopt {

// A set of ops or of storages.
class Bits {
 public:
  static constexpr int32_t kLargest = 128;

  bool has(int32_t i) const { return (word_[i >> 6] >> (i & 63)) & 1; }
  void add(int32_t i) { word_[i >> 6] |= uint64_t{1} << (i & 63); }
  void remove(int32_t i) { word_[i >> 6] &= ~(uint64_t{1} << (i & 63)); }
  bool empty() const { return (word_[0] | word_[1]) == 0; }
  int32_t count() const { return std::popcount(word_[0]) + std::popcount(word_[1]); }
  bool within(const Bits& other) const { return (*this - other).empty(); }
  bool meets(const Bits& other) const { return !(*this & other).empty(); }
  uint64_t hash() const {
    const uint64_t mixed = (word_[0] ^ (word_[1] * 0x9e3779b97f4a7c15ULL)) * 0xff51afd7ed558ccdULL;
    return mixed ^ (mixed >> 32);
  }

  bool operator==(const Bits&) const = default;
  friend Bits operator|(Bits a, const Bits& b) { return a.word_[0] |= b.word_[0], a.word_[1] |= b.word_[1], a; }
  friend Bits operator&(Bits a, const Bits& b) { return a.word_[0] &= b.word_[0], a.word_[1] &= b.word_[1], a; }
  friend Bits operator-(Bits a, const Bits& b) { return a.word_[0] &= ~b.word_[0], a.word_[1] &= ~b.word_[1], a; }

  template <typename Visit>
  void each(Visit visit) const {
    for (int32_t w = 0; w < 2; ++w) {
      for (uint64_t rest = word_[w]; rest; rest &= rest - 1) visit(w * 64 + std::countr_zero(rest));
    }
  }

 private:
  uint64_t word_[2] = {0, 0};
};

// Storages are planned tensors that are read or returned, and arena inputs. Costs are integers.
struct RecomputeProblem {
  struct Pair {
    int32_t source, target;
    int64_t shared;
  };
  struct Op {
    int64_t cost, own;  // own: bytes of all outputs and the workspace
    bool recomputable;
    Bits reads, writes, before;
    std::vector<Pair> pairs;
  };
  struct Storage {
    int64_t nbytes;
    int32_t producer;  // -1: an arena input
    Bits readers;
  };

  std::vector<Op> ops;
  std::vector<Storage> storages;
  Bits returned, sources;
  Bits done, kept;  // ops that have run and storages that are live where the schedule begins

  // `flat`: numbers of ops and storages; per storage nbytes, producer, returned; per op cost, own, recomputable and,
  // each preceded by its length, reads, writes, predecessors and in-place pairs as source, target, shared. A window of
  // a schedule ends with `done` and `kept`, each preceded by its length; without them, no op has run and inputs are
  // live.
  explicit RecomputeProblem(std::span<const int64_t> flat) {
    size_t at = 0;
    const auto next = [&] { return flat[at++]; };
    ops.resize(next());
    storages.resize(next());
    for (size_t i = 0; i < storages.size(); ++i) {
      storages[i].nbytes = next();
      storages[i].producer = static_cast<int32_t>(next());
      if (storages[i].producer < 0) sources.add(static_cast<int32_t>(i));
      if (next()) returned.add(static_cast<int32_t>(i));
    }
    const auto set = [&] {
      Bits bits;
      for (int64_t left = next(); left > 0; --left) bits.add(static_cast<int32_t>(next()));
      return bits;
    };
    for (size_t o = 0; o < ops.size(); ++o) {
      Op& op = ops[o];
      op.cost = next();
      op.own = next();
      op.recomputable = next() != 0;
      op.reads = set();
      op.writes = set();
      op.before = set();
      for (int64_t left = next(); left > 0; --left) {
        const int32_t source = static_cast<int32_t>(next()), target = static_cast<int32_t>(next());
        op.pairs.push_back({source, target, next()});
      }
      op.reads.each([&](int32_t i) { storages[i].readers.add(static_cast<int32_t>(o)); });
    }
    kept = sources;
    if (at == flat.size()) return;
    done = set();
    kept = set();
  }

  int64_t nbytes(const Bits& set) const {
    int64_t total = 0;
    set.each([&](int32_t i) { total += storages[i].nbytes; });
    return total;
  }

  // Live bytes at the step that runs `op` and keeps `kept` after it. `first`: nothing has run before.
  int64_t step_bytes(int32_t op, const Bits& kept, bool first) const {
    const Op& x = ops[op];
    const Bits held = kept | x.reads | (first ? sources : Bits());
    return x.own + nbytes(held - x.writes) - shared(x, kept, 0, Bits(), 0);
  }

 private:
  // The most bytes that in-place pairs with dying inputs save, using each input and each output once.
  static int64_t shared(const Op& op, const Bits& kept, size_t from, Bits sources, uint64_t targets) {
    int64_t best = 0;
    for (size_t i = from; i < op.pairs.size(); ++i) {
      const Pair& pair = op.pairs[i];
      const uint64_t target = uint64_t{1} << pair.target;
      if (kept.has(pair.source) || sources.has(pair.source) || (targets & target)) continue;
      Bits more = sources;
      more.add(pair.source);
      const int64_t found = pair.shared + shared(op, kept, i + 1, more, targets | target);
      best = found > best ? found : best;
    }
    return best;
  }
};

}  // namespace memopt
