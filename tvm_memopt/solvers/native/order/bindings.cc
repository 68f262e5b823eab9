// Python bindings of the order searches. Each rearranges steps first .. last - 1 of `order` in place and leaves the
// rest unchanged.
#include <tvm/ffi/function.h>

#include "../arrays.h"
#include "anneal.h"
#include "branch.h"
#include "construct.h"

namespace memopt {

namespace {

using tvm::ffi::TensorView;

// The window of an order that a call works on.
class Window {
 public:
  Window(const TensorView& index, const TensorView& bytes, const TensorView& order, int64_t first, int64_t last)
      : packed_(as_span<const int32_t>(index, "index"), as_span<const int64_t>(bytes, "bytes")),
        order_(as_span<int32_t>(order, "order")),
        first_(static_cast<int32_t>(first)) {
    const int64_t n = packed_.ops;
    if (static_cast<int64_t>(order_.size()) != n || first < 0 || last < first || last > n) {
      TVM_FFI_THROW(ValueError) << "window " << first << " to " << last << " of an order of " << order_.size()
                                << " ops, expected " << n;
    }
    problem = problem_in_order(packed_, order_);
    if (first != 0 || last != n) problem = window_of(problem, first_, static_cast<int32_t>(last));
  }

  // `steps`: the window's ops by their positions in it.
  void write(const std::vector<int32_t>& steps) {
    const std::vector<int32_t> before(order_.begin() + first_, order_.begin() + first_ + problem.ops);
    for (int32_t i = 0; i < problem.ops; ++i) order_[first_ + i] = before[steps[i]];
  }

  Problem problem;

 private:
  PackedProblem packed_;
  std::span<int32_t> order_;
  int32_t first_;
};

const int32_t* flag_of(const TensorView& flag) { return as_span<const int32_t>(flag, "flag").data(); }

void order_profile(TensorView index, TensorView bytes, TensorView order, TensorView held) {
  const Window window(index, bytes, order, 0, order.size(0));
  const auto found = profile_of(window.problem, identity_order(window.problem.ops));
  const auto out = as_span<int64_t>(held, "held");
  if (out.size() != found.size())
    TVM_FFI_THROW(ValueError) << "held: expected " << found.size() << " steps, got " << out.size();
  std::copy(found.begin(), found.end(), out.begin());
}

// Returns the number of positions written to `cuts`, a vector of size ops + 1.
int64_t order_cuts(TensorView index, TensorView bytes, TensorView order, TensorView cuts) {
  const Window window(index, bytes, order, 0, order.size(0));
  const auto found = forced_cuts(window.problem);
  const auto out = as_span<int32_t>(cuts, "cuts");
  if (out.size() < found.size()) TVM_FFI_THROW(ValueError) << "cuts: expected room for " << found.size();
  std::copy(found.begin(), found.end(), out.begin());
  return static_cast<int64_t>(found.size());
}

// The best of `repeats` orders (seeds seed, seed + 1, …), or of fewer if time runs out; returns its peak.
int64_t order_construct(TensorView index, TensorView bytes, TensorView order, int64_t how, int64_t seed,
                        int64_t repeats, double seconds, TensorView flag) {
  Window window(index, bytes, order, 0, order.size(0));
  const Control control(seconds, flag_of(flag));
  std::vector<int32_t> best;
  int64_t best_peak = 0;
  for (int64_t i = 0; i < repeats && (best.empty() || !control.stopped()); ++i) {
    auto found = construct(window.problem, static_cast<Construction>(how), static_cast<uint64_t>(seed + i));
    const int64_t peak = peak_of(window.problem, found);
    if (best.empty() || peak < best_peak) {
      best_peak = peak;
      best = std::move(found);
    }
  }
  if (!best.empty()) window.write(best);
  return best_peak;
}

// A lower bound on the window's peak over all orders of its ops, the best that work and time allow.
int64_t order_bound(TensorView index, TensorView bytes, TensorView order, int64_t first, int64_t last, int64_t work,
                    double seconds, TensorView flag, TensorView done) {
  const Window window(index, bytes, order, first, last);
  const auto held = profile_of(window.problem, identity_order(window.problem.ops));
  auto heaviest = identity_order(window.problem.ops);
  std::stable_sort(heaviest.begin(), heaviest.end(), [&](int32_t a, int32_t b) { return held[a] > held[b]; });
  const Control control(seconds, flag_of(flag), work);
  const int64_t bound = step_bound(window.problem, heaviest, control);
  as_span<int64_t>(done, "done")[0] = control.spent();
  return bound;
}

// Looks for an order of the window within the budget. `options`: safe moves, valleys, both ends, forcing, branching (0
// or 1), most states, most bytes, most work. `results`: work done, lower bound (0: none). Returns 0 if there is none, 1
// if one was written to `order`, 2 if undecided.
int64_t order_decide(TensorView index, TensorView bytes, TensorView order, int64_t first, int64_t last, int64_t budget,
                     TensorView options, double seconds, TensorView flag, TensorView results) {
  Window window(index, bytes, order, first, last);
  const auto option = as_span<const int64_t>(options, "options");
  const auto result = as_span<int64_t>(results, "results");
  const Control control(seconds, flag_of(flag), option[7]);
  const SearchSwitches search{option[0] != 0, option[1] != 0, option[2] != 0};
  const SearchLimits limits{option[5], static_cast<size_t>(option[6])};
  Verdict verdict;
  std::vector<int32_t> found;
  if (option[3] != 0) {
    const auto decision = branch(window.problem, budget, {search, true, option[4] != 0}, limits, control);
    verdict = decision.verdict;
    found = decision.order;
    result[1] = decision.bound;
  } else {
    const auto decision = decide(window.problem, budget, search, limits, control);
    verdict = decision.verdict;
    found = decision.order;
    result[1] = verdict == Verdict::kInfeasible ? budget + 1 : 0;
  }
  result[0] = control.spent();
  if (verdict == Verdict::kFeasible) window.write(found);
  return static_cast<int64_t>(verdict);
}

// Anneals the window. `options`: smooth, block moves (0 or 1), moves, seed, target peak. `results`: moves tried.
// Returns the window's peak.
int64_t order_anneal(TensorView index, TensorView bytes, TensorView order, int64_t first, int64_t last,
                     TensorView options, double hot, double cold, double seconds, TensorView flag, TensorView results) {
  Window window(index, bytes, order, first, last);
  const auto option = as_span<const int64_t>(options, "options");
  const AnnealOptions chosen{{option[0] != 0, option[1] != 0}, option[2], hot, cold,
                             static_cast<uint64_t>(option[3]), option[4]};
  const auto found =
      anneal(window.problem, chosen, Control(seconds, flag_of(flag)), as_span<int64_t>(results, "results")[0]);
  const int64_t peak = peak_of(window.problem, found);
  window.write(found);
  return peak;
}

}  // namespace

}  // namespace memopt

TVM_FFI_DLL_EXPORT_TYPED_FUNC(order_profile, memopt::order_profile);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(order_cuts, memopt::order_cuts);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(order_construct, memopt::order_construct);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(order_bound, memopt::order_bound);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(order_decide, memopt::order_decide);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(order_anneal, memopt::order_anneal);
