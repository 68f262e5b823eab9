#include "anneal.h"

#include <bit>
#include <cmath>
#include <limits>

namespace memopt {

namespace {

constexpr int64_t kNothing = std::numeric_limits<int64_t>::min() / 4;
constexpr double kForgotten = 30.0;   // a step so far below the peak, weight e^-30, no longer counts
constexpr int64_t kSpreadEvery = 32;  // moves per op between two respreads
constexpr int32_t kNear = 12;         // slots spanned by a short move
constexpr int32_t kTries = 8;         // slots tried to find a free one

// Ops are placed in more slots than there are ops, so that a move shifts no other op. A tree covers the slots. Each
// node stores the change of live bytes across it, the largest step relative to its start, and the sum of
// exp(sharpness * (step - largest)). A leaf is an op: the bytes its step adds, and the bytes it leaves.
class Slots {
 public:
  explicit Slots(const Problem& problem)
      : problem_(problem),
        slots_(std::bit_ceil(static_cast<uint32_t>(std::max(4, 2 * problem.ops)))),
        op_at_(slots_, -1),
        slot_(problem.ops, -1),
        last_(problem.tensors),
        dying_(problem.ops, 0),
        change_(2 * slots_),
        largest_(2 * slots_),
        weight_(2 * slots_) {
    for (int32_t t = 0; t < problem.tensors; ++t) {
      last_[t] = problem.readers[t].back();
      dying_[last_[t]] += problem.nbytes[t];
    }
    spread(identity_order(problem.ops));
  }

  int32_t slots() const { return slots_; }
  int32_t slot(int32_t op) const { return slot_[op]; }
  int32_t op_at(int32_t slot) const { return op_at_[slot]; }
  int64_t peak() const { return problem_.start_live + largest_[1]; }
  double smooth_peak() const { return static_cast<double>(peak()) + std::log(weight_[1]) / sharpness_; }

  std::vector<int32_t> order() const {
    std::vector<int32_t> result;
    for (int32_t op : op_at_) {
      if (op >= 0) result.push_back(op);
    }
    return result;
  }

  // Spreads the order evenly and builds the tree for this sharpness (per byte; 0: unchanged).
  void spread(const std::vector<int32_t>& order, double sharpness = 0) {
    if (sharpness > 0) sharpness_ = sharpness;
    std::fill(op_at_.begin(), op_at_.end(), -1);
    const int64_t n = static_cast<int64_t>(order.size());
    for (int64_t i = 0; i < n; ++i) {
      slot_[order[i]] = static_cast<int32_t>((2 * i + 1) * slots_ / (2 * n));
      op_at_[slot_[order[i]]] = order[i];
    }
    first_ = n ? slot_[order[0]] : 0;
    for (int32_t s = 0; s < slots_; ++s) set_leaf(s);
    for (int32_t node = slots_ - 1; node > 0; --node) combine(node);
  }

  // Slots strictly between the last predecessor and the first successor.
  std::pair<int32_t, int32_t> room(int32_t op) const {
    int32_t low = -1, high = slots_;
    for (int32_t p : problem_.before[op]) low = std::max(low, slot_[p]);
    for (int32_t s : problem_.after[op]) high = std::min(high, slot_[s]);
    return {low, high};
  }

  // Moves an op to a free slot. The tree is updated by refresh().
  void shift(int32_t op, int32_t to) {
    const int32_t from = slot_[op];
    op_at_[from] = -1;
    op_at_[to] = op;
    slot_[op] = to;
    for (int32_t t : problem_.reads[op]) {
      const int32_t reader = last_[t];
      if (reader != op && to > slot_[reader]) {
        pass(t, reader, op);
      } else if (reader == op && to < from) {
        int32_t latest = op;
        for (int32_t other : problem_.readers[t]) {
          if (slot_[other] > slot_[latest]) latest = other;
        }
        if (latest != op) pass(t, op, latest);
      }
    }
    touch(from);
    touch(to);
    if (problem_.orphans != 0) follow_first(from, to);
    moves_.push_back({op, from});
  }

  // Updates the tree for the shifts since commit().
  void refresh() {
    std::sort(dirty_.begin(), dirty_.end());
    dirty_.erase(std::unique(dirty_.begin(), dirty_.end()), dirty_.end());
    for (int32_t& s : dirty_) {
      remember(slots_ + s);
      set_leaf(s);
      s += slots_;
    }
    while (!dirty_.empty() && dirty_[0] > 1) {
      size_t kept = 0;
      for (int32_t node : dirty_) {
        const int32_t parent = node >> 1;
        if (kept > 0 && dirty_[kept - 1] == parent) continue;
        dirty_[kept++] = parent;
        remember(parent);
        combine(parent);
      }
      dirty_.resize(kept);
    }
    dirty_.clear();
  }

  void commit() {
    saved_.clear();
    moves_.clear();
  }

  void undo() {
    const auto moves = moves_;
    for (size_t i = moves.size(); i-- > 0;) shift(moves[i].op, moves[i].from);
    for (size_t i = saved_.size(); i-- > 0;) {
      const auto& old = saved_[i];
      change_[old.node] = old.change;
      largest_[old.node] = old.largest;
      weight_[old.node] = old.weight;
    }
    dirty_.clear();
    commit();
  }

 private:
  struct Saved {
    int32_t node;
    int64_t change, largest;
    double weight;
  };
  struct Move {
    int32_t op, from;
  };

  void touch(int32_t slot) { dirty_.push_back(slot); }

  void remember(int32_t node) { saved_.push_back({node, change_[node], largest_[node], weight_[node]}); }

  // The tensor now dies in `to` instead of `from`.
  void pass(int32_t t, int32_t from, int32_t to) {
    dying_[from] -= problem_.nbytes[t];
    dying_[to] += problem_.nbytes[t];
    last_[t] = to;
    touch(slot_[from]);
    touch(slot_[to]);
  }

  // The orphans are live at the first step.
  void follow_first(int32_t from, int32_t to) {
    const int32_t before = first_;
    if (to < first_) {
      first_ = to;
    } else if (from == first_) {
      while (op_at_[first_] < 0) ++first_;
    }
    touch(before);
    touch(first_);
  }

  int64_t sharing(int32_t op) const {
    const auto all = problem_.pairs_of(op);
    if (all.size() == 1) return last_[all[0].source] == op ? all[0].shared : 0;
    std::vector<InplacePair> usable;
    for (const auto& pair : all) {
      if (last_[pair.source] == op) usable.push_back(pair);
    }
    return best_sharing(usable);
  }

  void set_leaf(int32_t slot) {
    const int32_t node = slots_ + slot, op = op_at_[slot];
    if (op < 0) {
      change_[node] = 0;
      largest_[node] = kNothing;
      weight_[node] = 0;
      return;
    }
    change_[node] = problem_.kept[op] - dying_[op];
    largest_[node] = problem_.transient[op] - (problem_.has_pairs(op) ? sharing(op) : 0);
    if (slot == first_) largest_[node] += problem_.orphans;
    weight_[node] = 1;
  }

  void combine(int32_t node) {
    const int32_t left = 2 * node, right = left + 1;
    const int64_t a = largest_[left], b = change_[left] + largest_[right];
    change_[node] = change_[left] + change_[right];
    largest_[node] = std::max(a, std::max(b, kNothing));
    weight_[node] =
        a >= b ? weight_[left] + fade(b - a) * weight_[right] : weight_[right] + fade(a - b) * weight_[left];
  }

  double fade(int64_t below) const {
    const double x = sharpness_ * static_cast<double>(below);
    return x < -kForgotten ? 0.0 : std::exp(x);
  }

  const Problem& problem_;
  int32_t slots_;
  double sharpness_ = 1.0;
  int32_t first_ = 0;
  std::vector<int32_t> op_at_, slot_, last_;
  std::vector<int64_t> dying_;
  std::vector<int64_t> change_, largest_;
  std::vector<double> weight_;
  std::vector<int32_t> dirty_;
  std::vector<Saved> saved_;
  std::vector<Move> moves_;
};

class Annealing {
 public:
  Annealing(const Problem& problem, const AnnealOptions& options, const Control& control)
      : problem_(problem), options_(options), control_(control), slots_(problem), random_(options.seed) {
    best_ = identity_order(problem.ops);
    best_peak_ = slots_.peak();
    scale_ = static_cast<double>(std::max<int64_t>(1, best_peak_));
  }

  std::vector<int32_t> run(int64_t& made) {
    made = 0;
    if (problem_.ops < 2) return best_;
    const int64_t respread = kSpreadEvery * problem_.ops;
    for (;; ++made) {
      if (made % 256 == 0) {
        const double done = static_cast<double>(made) / static_cast<double>(options_.moves);
        if (done >= 1 || best_peak_ <= options_.target || control_.stopped()) break;
        temperature_ = scale_ * options_.hot * std::pow(options_.cold / options_.hot, done);
      }
      if (made % respread == 0) spread();
      move();
    }
    return best_;
  }

 private:
  void spread() {
    slots_.spread(slots_.order(), 1.0 / temperature_);
    now_ = value();
  }

  double value() const { return options_.switches.smooth ? slots_.smooth_peak() : static_cast<double>(slots_.peak()); }

  void move() {
    const int32_t op = static_cast<int32_t>(random_.below(problem_.ops));
    const auto [low, high] = slots_.room(op);
    const int32_t to = free_slot(op, low, high);
    if (to >= 0) {
      slots_.shift(op, to);
    } else if (!options_.switches.block_moves || !push(op, low, high)) {
      return;
    }
    slots_.refresh();
    const double next = value(), worse = next - now_;
    if (worse > 0 && random_.uniform() >= std::exp(-worse / temperature_)) {
      slots_.undo();
      return;
    }
    slots_.commit();
    now_ = next;
    if (slots_.peak() < best_peak_) {
      best_peak_ = slots_.peak();
      best_ = slots_.order();
    }
  }

  // A free slot between low and high with some op on the way, or -1.
  int32_t free_slot(int32_t op, int32_t low, int32_t high) {
    const int32_t from = slots_.slot(op);
    if (random_.below(2) == 0) {
      low = std::max(low, from - kNear);
      high = std::min(high, from + kNear);
    }
    if (high - low <= 2) return -1;
    int32_t to = low + 1 + static_cast<int32_t>(random_.below(high - low - 1));
    const int32_t step = to < from ? -1 : 1;
    for (int32_t i = 0; i < kTries && to > low && to < high && slots_.op_at(to) >= 0; ++i) to += step;
    if (to <= low || to >= high || slots_.op_at(to) >= 0) return -1;
    for (int32_t s = from + step; s != to; s += step) {
      if (slots_.op_at(s) >= 0) return to;
    }
    return -1;
  }

  // Moves an op together with the neighbour that blocks it: the neighbour into its own room, the op behind it.
  bool push(int32_t op, int32_t low, int32_t high) {
    const bool up = random_.below(2) == 0;
    const int32_t wall = up ? high : low;
    if (wall < 0 || wall >= slots_.slots()) return false;
    const int32_t neighbour = slots_.op_at(wall);
    const auto [their_low, their_high] = slots_.room(neighbour);
    const int32_t to = up ? free_slot(neighbour, wall, their_high) : free_slot(neighbour, their_low, wall);
    if (to < 0) return false;
    slots_.shift(neighbour, to);
    const auto [new_low, new_high] = slots_.room(op);
    for (int32_t s = up ? new_high - 1 : new_low + 1; up ? s > slots_.slot(op) : s < slots_.slot(op);
         s += up ? -1 : 1) {
      if (slots_.op_at(s) < 0) {
        slots_.shift(op, s);
        break;
      }
    }
    return true;
  }

  const Problem& problem_;
  AnnealOptions options_;
  const Control& control_;
  Slots slots_;
  Random random_;
  std::vector<int32_t> best_;
  int64_t best_peak_ = 0;
  double scale_ = 1, temperature_ = 1, now_ = 0;
};

}  // namespace

std::vector<int32_t> anneal(const Problem& problem, const AnnealOptions& options, const Control& control,
                            int64_t& made) {
  return Annealing(problem, options, control).run(made);
}

}  // namespace memopt
