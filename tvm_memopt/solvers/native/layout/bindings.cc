// Python bindings of the placement of buffers with fixed lifetimes.
#include <tvm/ffi/function.h>

#include "../arrays.h"
#include "ladder.h"

namespace memopt::layout {
namespace {

using tvm::ffi::TensorView;

Buffers buffers_of(TensorView first, TensorView last, TensorView nbytes, TensorView chain) {
  return {as_span<const int64_t>(first, "first"), as_span<const int64_t>(last, "last"),
          as_span<const int64_t>(nbytes, "nbytes"), as_span<const int64_t>(chain, "chain")};
}

Problem problem_of(const Buffers& buffers, int64_t alignment) {
  try {
    return make_problem(buffers, alignment);
  } catch (const std::invalid_argument& error) {
    TVM_FFI_THROW(ValueError) << error.what();
  }
}

void write_offsets(const Problem& problem, const Offsets& found, std::span<int64_t> offsets) {
  for (size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] = problem.item_of[i] < 0 || found.empty() ? 0 : found[problem.item_of[i]] * problem.unit;
  }
}

}  // namespace

// options: alignment, capacity (negative: minimise), target, seed, threads, disabled switches, memory in bytes.
// report: found (0, 1), arena, bound, nodes. Offsets are written if a placement was found.
void layout_search(TensorView first, TensorView last, TensorView nbytes, TensorView chain, TensorView options,
                   double seconds, TensorView interrupt, TensorView offsets, TensorView report) {
  const Control control(seconds, as_span<const int32_t>(interrupt, "interrupt").data());
  const auto option = as_span<const int64_t>(options, "options");
  const Problem problem = problem_of(buffers_of(first, last, nbytes, chain), option[0]);
  const Task task{option[1], option[2], static_cast<uint64_t>(option[3]), static_cast<int>(option[4]),
                  option[5], option[6]};
  const Found found = solve(problem, task, control);
  const bool any = found.arena != INT64_MAX && (task.capacity < 0 || found.arena <= task.capacity);
  if (any) write_offsets(problem, found.offsets, as_span<int64_t>(offsets, "offsets"));
  const auto out = as_span<int64_t>(report, "report");
  out[0] = any, out[1] = any ? found.arena : -1, out[2] = found.bound, out[3] = found.nodes;
}

// The best greedy placement. gaps: triples of two buffers and their distance in bytes. report: arena, bound (0 with
// gaps), number of the method.
void layout_greedy(TensorView first, TensorView last, TensorView nbytes, TensorView chain, TensorView gaps,
                   int64_t alignment, double seconds, TensorView interrupt, TensorView offsets, TensorView report) {
  const Control control(seconds, as_span<const int32_t>(interrupt, "interrupt").data());
  Buffers buffers = buffers_of(first, last, nbytes, chain);
  buffers.gaps = as_span<const int64_t>(gaps, "gaps");
  const Problem problem = problem_of(buffers, alignment);
  const int64_t bound = buffers.gaps.empty() ? problem.load_bound() : 0;
  const Greedy found = best_greedy(problem, bound, control);
  write_offsets(problem, found.offsets, as_span<int64_t>(offsets, "offsets"));
  const auto out = as_span<int64_t>(report, "report");
  out[0] = found.arena, out[1] = bound, out[2] = found.method;
}

// Greedy placement around buffers with given offsets; offsets of the others are negative. report: found (0, 1), arena.
void layout_around(TensorView first, TensorView last, TensorView nbytes, TensorView chain, TensorView options,
                   double seconds, TensorView interrupt, TensorView offsets, TensorView report) {
  const Control control(seconds, as_span<const int32_t>(interrupt, "interrupt").data());
  const auto option = as_span<const int64_t>(options, "options");  // alignment, target
  const Problem problem = problem_of(buffers_of(first, last, nbytes, chain), option[0]);
  const auto given = as_span<int64_t>(offsets, "offsets");
  Offsets fixed(problem.items(), -1);
  for (size_t i = 0; i < given.size(); ++i) {
    if (problem.item_of[i] >= 0 && given[i] >= 0) fixed[problem.item_of[i]] = given[i] / problem.unit;
  }
  const Greedy found = fitted_around(problem, fixed, option[1], control);
  const auto out = as_span<int64_t>(report, "report");
  out[0] = !found.offsets.empty() || problem.items() == 0, out[1] = out[0] && problem.items() ? found.arena : 0;
  if (out[0]) write_offsets(problem, found.offsets, given);
}

}  // namespace memopt::layout

TVM_FFI_DLL_EXPORT_TYPED_FUNC(layout_search, memopt::layout::layout_search);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(layout_greedy, memopt::layout::layout_greedy);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(layout_around, memopt::layout::layout_around);
