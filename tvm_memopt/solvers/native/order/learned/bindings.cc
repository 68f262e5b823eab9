// Python bindings of the learned orders. Ops keep their numbers, which form a valid order.
#include <tvm/ffi/function.h>

#include "../../arrays.h"
#include "policy.h"
#include "relations.h"

namespace memopt {

namespace {

using tvm::ffi::TensorView;

Problem problem_of(const TensorView& index, const TensorView& bytes) {
  const PackedProblem packed(as_span<const int32_t>(index, "index"), as_span<const int64_t>(bytes, "bytes"));
  return problem_in_order(packed, identity_order(packed.ops));
}

template <typename T>
std::span<T> sized(const TensorView& array, const char* name, size_t size) {
  const auto span = as_span<T>(array, name);
  if (span.size() != size)
    TVM_FFI_THROW(ValueError) << name << ": expected " << size << " numbers, got " << span.size();
  return span;
}

Policy policy_of(const Problem& problem, const TensorView& priority, const TensorView& weights, int64_t safe_moves) {
  const size_t ops = problem.ops, all = weights.size(0) == 0 ? 0 : ops * kStateFeatures;
  return {sized<const float>(priority, "priority", ops), sized<const float>(weights, "weights", all), safe_moves != 0};
}

// `ancestors`: ops x words of 64 bits; `redundant`: per edge; `forced`: per op.
void order_relations(TensorView index, TensorView bytes, TensorView ancestors, TensorView redundant,
                     TensorView forced) {
  const Problem problem = problem_of(index, bytes);
  const auto found = ancestors_of(problem, sized<int32_t>(redundant, "redundant", problem.before.items.size()));
  const auto out = sized<int64_t>(ancestors, "ancestors", found.words() * problem.ops);
  for (int32_t op = 0; op < problem.ops; ++op) {
    const auto row = found.row(op);
    std::copy(row.begin(), row.end(), reinterpret_cast<uint64_t*>(out.data()) + found.words() * op);
  }
  const auto held = forced_bytes(problem, found, descendants_of(problem));
  std::copy(held.begin(), held.end(), sized<int64_t>(forced, "forced", problem.ops).begin());
}

// Draws one order for each element of `peaks`, into `orders` and `held` (per order and step from the end). `noise`: per
// order and op; if empty, fresh noise seeded by `seed`, or none if `seed` is negative. `lower`: 1 to treat, in later
// orders, peaks below the best so far as equal. Returns the index of the best order.
int64_t policy_draw(TensorView index, TensorView bytes, TensorView priority, TensorView weights, int64_t safe_moves,
                    TensorView noise, int64_t seed, int64_t lower, TensorView orders, TensorView held,
                    TensorView peaks) {
  const Problem problem = problem_of(index, bytes);
  const size_t ops = problem.ops;
  const Policy policy = policy_of(problem, priority, weights, safe_moves);
  const auto peak = as_span<int64_t>(peaks, "peaks");
  const auto order = sized<int32_t>(orders, "orders", ops * peak.size());
  const auto profile = sized<int64_t>(held, "held", ops * peak.size());
  const auto noises = sized<const float>(noise, "noise", noise.size(0) == 0 ? 0 : ops * peak.size());
  size_t best = 0;
  for (size_t i = 0; i < peak.size(); ++i) {
    Random random(static_cast<uint64_t>(seed) + i);
    PolicyState state(problem, policy, lower != 0 && i > 0 ? peak[best] - 1 : 0);
    draw_order(state, noises.empty() ? noises : noises.subspan(ops * i, ops), seed < 0 ? nullptr : &random);
    std::reverse_copy(state.taken().begin(), state.taken().end(), order.begin() + ops * i);
    std::copy(state.held().begin(), state.held().end(), profile.begin() + ops * i);
    peak[i] = state.peak();
    if (peak[i] < peak[best]) best = i;
  }
  return static_cast<int64_t>(best);
}

// Adds the gradients of the log-probabilities of the decisions along `orders`, weighted by `importance` (per order and
// step from the end, or empty), to `priority_gradient` and `weights_gradient`. `limits`: per order, the peak up to
// which safe moves are made. `log_probabilities`, `decisions`: per order.
void policy_follow(TensorView index, TensorView bytes, TensorView priority, TensorView weights, int64_t safe_moves,
                   TensorView orders, TensorView limits, TensorView importance, TensorView priority_gradient,
                   TensorView weights_gradient, TensorView log_probabilities, TensorView decisions) {
  const Problem problem = problem_of(index, bytes);
  const size_t ops = problem.ops;
  const Policy policy = policy_of(problem, priority, weights, safe_moves);
  const auto limit = as_span<const int64_t>(limits, "limits");
  const auto order = sized<const int32_t>(orders, "orders", ops * limit.size());
  const auto weight = sized<const float>(importance, "importance", importance.size(0) == 0 ? 0 : ops * limit.size());
  const auto found = sized<double>(log_probabilities, "log_probabilities", limit.size());
  const auto count = sized<int64_t>(decisions, "decisions", limit.size());
  const PolicyGradient gradient{sized<float>(priority_gradient, "priority_gradient", ops),
                                sized<float>(weights_gradient, "weights_gradient", policy.weights.size())};
  for (size_t i = 0; i < limit.size(); ++i) {
    PolicyState state(problem, policy, limit[i]);
    const auto own = weight.empty() ? weight : weight.subspan(ops * i, ops);
    found[i] = follow_order(state, order.subspan(ops * i, ops), own, gradient, count[i]);
  }
}

// Beam search for an order; returns its peak.
int64_t policy_beam(TensorView index, TensorView bytes, TensorView priority, TensorView weights, int64_t safe_moves,
                    int64_t width, int64_t branches, double peak_weight, double seconds, TensorView flag,
                    TensorView order) {
  const Problem problem = problem_of(index, bytes);
  const Policy policy = policy_of(problem, priority, weights, safe_moves);
  const Control control(seconds, as_span<const int32_t>(flag, "flag").data());
  auto found = beam_order(PolicyState(problem, policy, 0), width, branches, peak_weight, control);
  std::reverse(found.begin(), found.end());
  std::copy(found.begin(), found.end(), sized<int32_t>(order, "order", problem.ops).begin());
  return peak_of(problem, found);
}

}  // namespace

}  // namespace memopt

TVM_FFI_DLL_EXPORT_TYPED_FUNC(order_relations, memopt::order_relations);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(policy_draw, memopt::policy_draw);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(policy_follow, memopt::policy_follow);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(policy_beam, memopt::policy_beam);
