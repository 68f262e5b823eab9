// Python binding of the exact rematerialisation search.
#include <tvm/ffi/function.h>

#include "../arrays.h"
#include "exact_search.h"

namespace memopt {

namespace {

using tvm::ffi::TensorView;

// `options`: budget, cost limit, safe moves (0 or 1), most bytes of memory. `results`: cost of the repeats, states
// visited, steps written to `schedule`. Returns 0 if no schedule is that cheap, 1 if `schedule` is the cheapest, 2 if
// undecided.
int64_t recompute_least(TensorView problem, TensorView options, double seconds, TensorView flag, TensorView schedule,
                        TensorView results) {
  const RecomputeProblem unpacked(as_span<const int64_t>(problem, "problem"));
  const auto option = as_span<const int64_t>(options, "options");
  const Control control(seconds, as_span<const int32_t>(flag, "flag").data());
  const auto answer =
      least_recompute(unpacked, option[0], option[1], option[2] != 0, static_cast<size_t>(option[3]), control);
  const auto out = as_span<int32_t>(schedule, "schedule");
  const auto result = as_span<int64_t>(results, "results");
  if (answer.schedule.size() > out.size()) return 2;
  std::copy(answer.schedule.begin(), answer.schedule.end(), out.begin());
  result[0] = answer.cost;
  result[1] = answer.states;
  result[2] = static_cast<int64_t>(answer.schedule.size());
  return static_cast<int64_t>(answer.verdict);
}

}  // namespace

}  // namespace memopt

TVM_FFI_DLL_EXPORT_TYPED_FUNC(recompute_least, memopt::recompute_least);
