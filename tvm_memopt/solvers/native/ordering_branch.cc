#include "ordering_branch.h"

namespace memopt {

namespace {

constexpr int64_t kStatesAtNode = 20'000;

class Branching {
 public:
  Branching(const Problem& problem, int64_t budget, BranchSwitches switches, SearchLimits limits, const Control& control)
      : problem_(problem), budget_(budget), switches_(switches), limits_(limits), control_(control) {}

  BranchDecision run() {
    Forcing root(problem_, budget_);
    BranchDecision decision;
    decision.verdict = node(root, 0, decision);
    if (decision.verdict == Verdict::kInfeasible) decision.bound = budget_ + 1;
    return decision;
  }

 private:
  Verdict node(Forcing& forcing, int32_t depth, BranchDecision& decision) {
    if (switches_.forcing && !forcing.run(control_)) return Verdict::kInfeasible;
    if (depth == 0) decision.bound = std::min(forcing.largest(), budget_ + 1);
    if (getenv("DBG")) fprintf(stderr, "   depth %d largest %ld arcs %zu pair %d %d\n", depth, forcing.largest(), forcing.precedence().arcs().size(), forcing.open_pair().first, forcing.open_pair().second);
    const auto [a, b] = forcing.open_pair();
    const bool last = !switches_.branching || !switches_.forcing || a < 0;
    Problem tight = problem_;
    const auto place = tightened(tight, forcing.precedence());
    SearchLimits limits = limits_;
    if (!last) limits.states = std::min(limits.states, kStatesAtNode);
    const auto found = decide(tight, budget_, switches_.search, limits, control_);
    if (found.verdict == Verdict::kFeasible) {
      for (int32_t op : found.order) decision.order.push_back(place[op]);
    }
    if (found.verdict != Verdict::kUnknown || last || control_.stopped()) return found.verdict;
    bool unknown = false;
    for (const auto& [first, second] : {std::pair{a, b}, std::pair{b, a}}) {
      Forcing child = forcing;
      if (!child.add(first, second)) continue;
      const Verdict verdict = node(child, depth + 1, decision);
      if (verdict == Verdict::kFeasible) return verdict;
      unknown = unknown || verdict == Verdict::kUnknown;
      if (control_.stopped()) return Verdict::kUnknown;
    }
    return unknown ? Verdict::kUnknown : Verdict::kInfeasible;
  }

  const Problem& problem_;
  int64_t budget_;
  BranchSwitches switches_;
  SearchLimits limits_;
  const Control& control_;
};

}  // namespace

BranchDecision branch(const Problem& problem, int64_t budget, BranchSwitches switches, SearchLimits limits, const Control& control) {
  return Branching(problem, budget, switches, limits, control).run();
}

}  // namespace memopt
