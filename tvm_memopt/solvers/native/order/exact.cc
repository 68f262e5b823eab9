#include "exact.h"

namespace memopt {

namespace {

constexpr int64_t kFirstStates = 2'000;  // per end, before the limit grows
constexpr int64_t kGrowth = 4;

struct Attempt {
  Verdict verdict;
  std::vector<int32_t> trail;
  int64_t states;
};

template <bool kReverse>
Attempt attempt(const Problem& problem, int64_t budget, SearchSwitches switches, const SearchLimits& limits,
                const Control& control) {
  DownsetSearch<kReverse> search(problem, budget, switches);
  const Verdict verdict = search.run(limits, control);
  return {verdict, search.trail(), search.states()};
}

// The part of the problem between its settled ends.
class Middle {
 public:
  explicit Middle(const Problem& whole) : problem_(whole), order_(identity_order(whole.ops)), last_(whole.ops) {}

  const Problem& problem() const { return problem_; }
  const std::vector<int32_t>& order() const { return order_; }

  // `trail`: ops of problem() settled at its beginning or, if reverse, at its end, the last op first.
  void settle(std::vector<int32_t> trail, bool reverse) {
    if (trail.empty()) return;
    const int32_t n = problem_.ops, count = static_cast<int32_t>(trail.size());
    std::vector<char> taken(n, 0);
    for (int32_t op : trail) taken[op] = 1;
    std::vector<int32_t> local;
    if (!reverse) local = trail;
    for (int32_t op = 0; op < n; ++op) {
      if (!taken[op]) local.push_back(op);
    }
    if (reverse) local.insert(local.end(), trail.rbegin(), trail.rend());
    const std::vector<int32_t> before(order_.begin() + first_, order_.begin() + last_);
    for (int32_t i = 0; i < n; ++i) order_[first_ + i] = before[local[i]];
    (reverse ? last_ : first_) += reverse ? -count : count;
    const int32_t start = reverse ? 0 : count;
    problem_ = window_of(reordered(problem_, local), start, start + n - count);
  }

 private:
  Problem problem_;
  std::vector<int32_t> order_;
  int32_t first_ = 0;
  int32_t last_;
};

}  // namespace

Decision decide(const Problem& problem, int64_t budget, SearchSwitches switches, SearchLimits limits,
                const Control& control) {
  Middle middle(problem);
  Decision decision;
  bool reverse = false;
  int64_t states = switches.both_ends ? kFirstStates : limits.states;
  for (int32_t idle = 0; !control.stopped();) {
    const SearchLimits now{std::min(states, limits.states - decision.states), limits.memory};
    const auto found = reverse ? attempt<true>(middle.problem(), budget, switches, now, control)
                               : attempt<false>(middle.problem(), budget, switches, now, control);
    decision.states += found.states;
    decision.verdict = found.verdict;
    if (found.verdict == Verdict::kInfeasible) break;
    middle.settle(found.trail, reverse);
    if (found.verdict == Verdict::kFeasible || decision.states >= limits.states) break;
    idle = found.trail.empty() ? idle + 1 : 0;
    // From the end, the orphans of the first step count at another op: the valley rule does not hold then.
    if (switches.both_ends && problem.orphans == 0) reverse = !reverse;
    if (idle >= 2 || problem.orphans != 0) {
      states *= kGrowth;
      idle = 0;
    }
  }
  decision.order = middle.order();
  return decision;
}

}  // namespace memopt
