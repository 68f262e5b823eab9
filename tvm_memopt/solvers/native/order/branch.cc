#include "branch.h"

#include <map>

namespace memopt {

namespace {

constexpr int64_t kStatesAtNode = 2'000;
constexpr size_t kReachAtRoot = 256;
constexpr size_t kReach = 16;
constexpr int64_t kOpsCopied = 32;   // precedences copied per unit of work
constexpr int64_t kFirstNodes = 32;  // nodes before the first restart

class Branching {
 public:
  Branching(const Problem& problem, int64_t budget, BranchSwitches switches, SearchLimits limits,
            const Control& control)
      : problem_(problem), budget_(budget), switches_(switches), limits_(limits), control_(control) {}

  BranchDecision run() {
    Forcing root(problem_, budget_);
    const bool possible = !switches_.forcing || root.run(kReachAtRoot, control_);
    decision_.bound = possible ? std::min(root.largest(), budget_ + 1) : budget_ + 1;
    if (!possible) {
      decision_.verdict = Verdict::kInfeasible;
      return decision_;
    }
    for (nodes_left_ = kFirstNodes; decision_.verdict == Verdict::kUnknown && !control_.stopped();) {
      const int64_t nodes = nodes_left_;
      decision_.verdict = node(root, 0);
      if (nodes_left_ > 0) break;
      nodes_left_ = nodes * 2;
    }
    if (decision_.verdict == Verdict::kInfeasible) decision_.bound = budget_ + 1;
    return decision_;
  }

 private:
  using Pair = std::pair<int32_t, int32_t>;

  Verdict node(const Forcing& forcing, int32_t depth) {
    const auto [a, b] = choose(forcing);
    const bool last = !switches_.branching || !switches_.forcing || a < 0;
    const Verdict found = search(forcing, last);
    if (found != Verdict::kUnknown || last) return found;
    bool unknown = false, blamed = false;
    for (const auto& [first, second] : {Pair{a, b}, Pair{b, a}}) {
      if (control_.stopped() || --nodes_left_ <= 0) return Verdict::kUnknown;
      Forcing child = forcing;
      control_.spend(static_cast<int64_t>(problem_.ops) * problem_.ops / kOpsCopied);
      if (!child.add(first, second) || !child.run(kReach, control_)) {
        if (!blamed) ++blame_[std::minmax(a, b)];
        blamed = true;
        continue;
      }
      const Verdict verdict = node(child, depth + 1);
      if (verdict == Verdict::kFeasible) return verdict;
      unknown = unknown || verdict == Verdict::kUnknown;
    }
    return unknown ? Verdict::kUnknown : Verdict::kInfeasible;
  }

  // The open pair blamed most often for contradictions, else the one that the tightest step suggests.
  Pair choose(const Forcing& forcing) const {
    Pair best = forcing.open_pair();
    int64_t most = 0;
    for (const auto& [pair, count] : blame_) {
      const bool open = !forcing.precedence().before(pair.first, pair.second) &&
                        !forcing.precedence().before(pair.second, pair.first);
      if (open && count > most) {
        most = count;
        best = pair;
      }
    }
    return best;
  }

  Verdict search(const Forcing& forcing, bool last) {
    Problem tight = problem_;
    const auto place = tightened(tight, forcing.precedence());
    SearchLimits limits = limits_;
    if (!last) limits.states = std::min(limits.states, kStatesAtNode);
    const auto found = decide(tight, budget_, switches_.search, limits, control_);
    if (found.verdict == Verdict::kFeasible) {
      for (int32_t op : found.order) decision_.order.push_back(place[op]);
    }
    return found.verdict;
  }

  const Problem& problem_;
  int64_t budget_;
  BranchSwitches switches_;
  SearchLimits limits_;
  const Control& control_;
  BranchDecision decision_;
  int64_t nodes_left_ = 0;
  std::map<Pair, int64_t> blame_;
};

}  // namespace

BranchDecision branch(const Problem& problem, int64_t budget, BranchSwitches switches, SearchLimits limits,
                      const Control& control) {
  return Branching(problem, budget, switches, limits, control).run();
}

}  // namespace memopt
