#include "bound.h"

#include <bit>

namespace memopt {

Precedence::Precedence(const Problem& problem)
    : ops_(problem.ops), words_((problem.ops + 63) / 64), before_(ops_ * words_, 0), after_(ops_ * words_, 0) {
  for (int32_t op = 0; op < ops_; ++op) {
    for (int32_t p : problem.before[op]) {
      for (size_t w = 0; w < words_; ++w) before_[row(op) + w] |= before_[row(p) + w];
      before_[row(op) + (p >> 6)] |= uint64_t{1} << (p & 63);
    }
  }
  for (int32_t op = ops_ - 1; op >= 0; --op) {
    for (int32_t s : problem.after[op]) {
      for (size_t w = 0; w < words_; ++w) after_[row(op) + w] |= after_[row(s) + w];
      after_[row(op) + (s >> 6)] |= uint64_t{1} << (s & 63);
    }
  }
}

bool Precedence::add(int32_t a, int32_t b) {
  if (a == b || before(b, a)) return false;
  if (before(a, b)) return true;
  arcs_.emplace_back(a, b);
  std::vector<uint64_t> up(before_.begin() + row(a), before_.begin() + row(a) + words_);
  std::vector<uint64_t> down(after_.begin() + row(b), after_.begin() + row(b) + words_);
  up[a >> 6] |= uint64_t{1} << (a & 63);
  down[b >> 6] |= uint64_t{1} << (b & 63);
  for (int32_t op = 0; op < ops_; ++op) {
    if (up[op >> 6] >> (op & 63) & 1) join(after_, op, down);
    if (down[op >> 6] >> (op & 63) & 1) join(before_, op, up);
  }
  return true;
}

int32_t Precedence::free_beside(int32_t op) const {
  int32_t fixed = 1;
  for (size_t w = 0; w < words_; ++w) fixed += std::popcount(before_[row(op) + w]) + std::popcount(after_[row(op) + w]);
  return ops_ - fixed;
}

int64_t StepCut::bound(int32_t op) {
  // Relaxation: each input may share with its best output, whatever the other inputs do.
  for (const auto& pair : problem_.pairs_of(op)) share_[pair.source] = std::max(share_[pair.source], pair.shared);
  const int64_t fixed = build(op);
  for (const auto& pair : problem_.pairs_of(op)) share_[pair.source] = 0;
  return fixed + flow.run() + problem_.transient[op];
}

int64_t StepCut::build(int32_t op) {
  flow.reset();
  free_ops.clear();
  built_ += problem_.ops + problem_.tensors;
  for (int32_t other = 0; other < problem_.ops; ++other) {
    if (precedence_.before(other, op)) {
      node_[other] = Flow::kSource;
    } else if (other == op || precedence_.before(op, other)) {
      node_[other] = Flow::kSink;
    } else {
      node_[other] = flow.node();
      free_ops.push_back(other);
    }
  }
  int64_t fixed = problem_.start_live;
  for (int32_t t = 0; t < problem_.tensors; ++t) {
    if (problem_.producer[t] < 0) fixed -= problem_.nbytes[t];  // counted below like any other tensor
    fixed += add_tensor(t, op);
  }
  for (int32_t other = 0; other < problem_.ops; ++other) {
    if (node_[other] == Flow::kSink) continue;
    int64_t returned = problem_.kept[other];
    for (int32_t t : problem_.writes[other]) returned -= problem_.nbytes[t];
    if (node_[other] == Flow::kSource) {
      fixed += returned;
      continue;
    }
    if (returned) flow.edge(node_[other], Flow::kSink, returned);
    for (int32_t p : problem_.before[other]) {
      if (node_[p] > Flow::kSink) flow.edge(node_[other], node_[p], Flow::kInfinite);
    }
  }
  for (const auto& [a, b] : precedence_.arcs()) {
    if (node_[a] > Flow::kSink && node_[b] > Flow::kSink) flow.edge(node_[b], node_[a], Flow::kInfinite);
  }
  return fixed;
}

int64_t StepCut::add_tensor(int32_t t, int32_t op) {
  const int64_t shared = std::min(share_[t], problem_.nbytes[t]);
  int64_t fixed = 0;
  if (shared < problem_.nbytes[t]) fixed += add_part(t, problem_.nbytes[t] - shared, -1);
  if (shared > 0) fixed += add_part(t, shared, op);
  return fixed;
}

// Bytes of a tensor that are live unless all its readers but the ignored one have run. Returns those certainly live.
int64_t StepCut::add_part(int32_t t, int64_t bytes, int32_t ignored_reader) {
  const int32_t opener = problem_.producer[t] < 0 ? Flow::kSource : node_[problem_.producer[t]];
  if (opener == Flow::kSink) return 0;
  bool late = false, loose = false;
  for (int32_t reader : problem_.readers[t]) {
    if (reader == ignored_reader) continue;
    late = late || node_[reader] == Flow::kSink;
    loose = loose || node_[reader] > Flow::kSink;
  }
  if (!late && !loose) return 0;
  if (opener == Flow::kSource && late) return bytes;
  if (late) {
    flow.edge(opener, Flow::kSink, bytes);
    return 0;
  }
  const int32_t closed = flow.node();
  flow.edge(opener, closed, bytes);
  for (int32_t reader : problem_.readers[t]) {
    if (reader != ignored_reader && node_[reader] > Flow::kSink) flow.edge(closed, node_[reader], Flow::kInfinite);
  }
  return 0;
}

int64_t step_bound(const Problem& problem, std::span<const int32_t> first, const Control& control) {
  if (problem.ops == 0) return 0;
  const Precedence precedence(problem);
  StepCut cut(problem, precedence);
  int64_t largest = std::max(problem.start_live + problem.orphans, ForwardState::end_live(problem));
  std::vector<char> weighed(problem.ops, 0);
  const auto weigh = [&](int32_t op) {
    if (weighed[op] || control.stopped()) return;
    weighed[op] = 1;
    largest = std::max(largest, cut.bound(op));
    control.spend(cut.take_work());
  };
  for (int32_t op : first) weigh(op);
  for (int32_t op = 0; op < problem.ops; ++op) weigh(op);
  return largest;
}

namespace {

constexpr size_t kFirstReach = 16;  // ops probed before the bounds are recomputed, tightest first
constexpr size_t kReachGrowth = 2;
constexpr size_t kRefreshed = 4;  // bounds recomputed, for each op that may be probed

}  // namespace

Forcing::Forcing(const Problem& problem, int64_t budget)
    : problem_(&problem),
      budget_(budget),
      precedence_(problem),
      bound_(problem.ops, 0),
      order_(identity_order(problem.ops)),
      free_at_bound_(problem.ops, -1),
      arcs_at_probe_(problem.ops, SIZE_MAX) {}

int64_t Forcing::largest() const { return bound_.empty() ? 0 : *std::max_element(bound_.begin(), bound_.end()); }

bool Forcing::run(size_t most, const Control& control) {
  StepCut cut(*problem_, precedence_);
  for (size_t reach = kFirstReach; !control.stopped();) {
    if (!refresh(most, cut, control)) return false;
    reach = std::min({reach, most, order_.size()});
    const size_t arcs = precedence_.arcs().size();
    open_score_ = 0;
    open_op_ = -1;
    open_pair_ = {-1, -1};
    for (size_t i = 0; i < reach && !control.stopped(); ++i) {
      if (!probe(order_[i], cut, control)) return false;
    }
    if (precedence_.arcs().size() != arcs) continue;
    if (reach == std::min(most, order_.size())) break;
    reach *= kReachGrowth;
  }
  return true;
}

// Recomputes the bounds of the tightest ops if their sets of free ops changed. False if a bound exceeds the budget.
bool Forcing::refresh(size_t most, StepCut& cut, const Control& control) {
  const size_t count = std::min(order_.size(), kRefreshed * most);
  for (size_t i = 0; i < count && !control.stopped(); ++i) {
    const int32_t op = order_[i];
    const int32_t free_ops = precedence_.free_beside(op);
    if (free_ops == free_at_bound_[op]) continue;
    free_at_bound_[op] = free_ops;
    bound_[op] = std::max(bound_[op], cut.bound(op));
    control.spend(cut.take_work());
    if (bound_[op] > budget_) return false;
  }
  std::stable_sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) { return bound_[a] > bound_[b]; });
  return true;
}

// Adds the precedences forced by the step of one op. False on a contradiction.
bool Forcing::probe(int32_t op, StepCut& cut, const Control& control) {
  if (arcs_at_probe_[op] == precedence_.arcs().size() && open_op_ >= 0) return true;
  arcs_at_probe_[op] = precedence_.arcs().size();
  bound_[op] = std::max(bound_[op], cut.bound(op));
  const int64_t slack = budget_ - bound_[op];
  if (slack < 0) return false;
  const auto reaches = cut.flow.reaches_sink(), reached = cut.flow.reached_from_source();
  std::vector<std::pair<int32_t, int32_t>> arcs;
  for (int32_t other : cut.free_ops) {
    if (control.stopped()) break;
    const int32_t node = cut.node(other);
    const int64_t earlier = reaches[node] ? cut.flow.forced(node, true, slack) : 0;
    const int64_t later = reached[node] ? cut.flow.forced(node, false, slack) : 0;
    control.spend(cut.take_work());
    if (earlier > slack && later > slack) return false;
    if (earlier > slack) arcs.emplace_back(op, other);
    if (later > slack) arcs.emplace_back(other, op);
    const int64_t score = earlier + later;
    if (earlier <= slack && later <= slack && score > open_score_ && (open_op_ < 0 || open_op_ == op)) {
      open_score_ = score;
      open_op_ = op;
      open_pair_ = earlier <= later ? std::pair{other, op} : std::pair{op, other};
    }
  }
  control.spend(static_cast<int64_t>(arcs.size()) * problem_->ops);
  return std::all_of(arcs.begin(), arcs.end(), [&](const auto& arc) { return precedence_.add(arc.first, arc.second); });
}

std::vector<int32_t> tightened(Problem& problem, const Precedence& precedence) {
  std::vector<std::vector<int32_t>> more(problem.ops);
  for (const auto& [a, b] : precedence.arcs()) more[b].push_back(a);
  RowsOwned before;
  for (int32_t op = 0; op < problem.ops; ++op) {
    for (int32_t p : problem.before[op]) before.add(p);
    std::sort(more[op].begin(), more[op].end());
    more[op].erase(std::unique(more[op].begin(), more[op].end()), more[op].end());
    for (int32_t p : more[op]) before.add(p);
    before.close();
  }
  problem.before = before;
  problem.after = transposed(before, problem.ops);
  std::vector<int32_t> waiting(problem.ops), order;
  for (int32_t op = 0; op < problem.ops; ++op) {
    waiting[op] = static_cast<int32_t>(problem.before[op].size());
    if (waiting[op] == 0) order.push_back(op);
  }
  for (size_t i = 0; i < order.size(); ++i) {
    for (int32_t s : problem.after[order[i]]) {
      if (--waiting[s] == 0) order.push_back(s);
    }
  }
  problem = reordered(problem, order);
  return order;
}

}  // namespace memopt
