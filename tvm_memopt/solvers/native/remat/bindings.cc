// Python bindings of the rematerialisation search.
#include <tvm/ffi/function.h>

#include "../arrays.h"
#include "anneal.h"

namespace memopt {

namespace {

using tvm::ffi::TensorView;

RematProblem problem_of(const TensorView& index, const TensorView& bytes, const TensorView& costs) {
  return {as_span<const int32_t>(index, "index"), as_span<const int64_t>(bytes, "bytes"),
          as_span<const double>(costs, "costs")};
}

int64_t write(const std::vector<int32_t>& schedule, const TensorView& out) {
  const auto room = as_span<int32_t>(out, "out");
  if (room.size() < schedule.size())
    TVM_FFI_THROW(ValueError) << "out: expected room for " << schedule.size() << " steps";
  std::copy(schedule.begin(), schedule.end(), room.begin());
  return static_cast<int64_t>(schedule.size());
}

// Live bytes at each step of `schedule`.
void remat_profile(TensorView index, TensorView bytes, TensorView costs, TensorView schedule, TensorView held) {
  const auto problem = problem_of(index, bytes, costs);
  const auto steps = as_span<const int32_t>(schedule, "schedule");
  Sequence sequence(problem, 0, static_cast<int32_t>(steps.size()));
  sequence.load(steps);
  const auto found = sequence.profile();
  std::copy(found.begin(), found.end(), as_span<int64_t>(held, "held").begin());
}

// Makes `moves` random moves, keeping every other valid one on average. Writes the schedule, its live bytes at each
// step, and (cost, steps over the budget, bytes over it) from the incremental state. Returns the number of steps.
int64_t remat_walk(TensorView index, TensorView bytes, TensorView costs, TensorView schedule, int64_t budget,
                   int64_t moves, int64_t seed, TensorView out, TensorView held, TensorView totals) {
  const auto problem = problem_of(index, bytes, costs);
  Sequence sequence(problem, budget, static_cast<int32_t>(out.size(0)));
  sequence.load(as_span<const int32_t>(schedule, "schedule"));
  Random random(static_cast<uint64_t>(seed));
  Mover mover(problem, sequence, random, {});
  for (int64_t i = 0; i < moves; ++i) {
    if (mover.cramped()) sequence.respread();
    const bool proposed = mover.propose(true) && sequence.valid();
    if (proposed) sequence.weigh();
    if (proposed && random.below(2) == 0) {
      sequence.commit();
    } else {
      sequence.undo();
    }
  }
  const auto found = sequence.profile();
  std::copy(found.begin(), found.end(), as_span<int64_t>(held, "held").begin());
  const auto total = as_span<double>(totals, "totals");
  total[0] = sequence.cost();
  total[1] = sequence.over();
  total[2] = sequence.excess();
  return write(sequence.schedule(), out);
}

// Anneals from `schedule` into `out`. `options`: repeats, adapt, guided, chains, block moves, exchange (0 or 1), moves,
// seed; `scales`: hot, cold, weight, target cost. `made`: moves tried. Returns the number of steps.
int64_t remat_anneal(TensorView index, TensorView bytes, TensorView costs, TensorView schedule, int64_t budget,
                     TensorView options, TensorView scales, double seconds, TensorView flag, TensorView out,
                     TensorView made) {
  const auto problem = problem_of(index, bytes, costs);
  const auto option = as_span<const int64_t>(options, "options");
  const auto scale = as_span<const double>(scales, "scales");
  RematOptions chosen;
  chosen.repeats = option[0] != 0;
  chosen.adapt = option[1] != 0;
  chosen.switches = {option[2] != 0, option[3] != 0, option[4] != 0, option[5] != 0};
  chosen.moves = option[6];
  chosen.seed = static_cast<uint64_t>(option[7]);
  chosen.hot = scale[0];
  chosen.cold = scale[1];
  chosen.weight = scale[2];
  chosen.target = scale[3];
  const Control control(seconds, as_span<const int32_t>(flag, "flag").data());
  const auto found = anneal_remat(problem, as_span<const int32_t>(schedule, "schedule"), budget,
                                  static_cast<int32_t>(out.size(0)), chosen, control);
  as_span<int64_t>(made, "made")[0] = found.made;
  return write(found.schedule, out);
}

}  // namespace

}  // namespace memopt

TVM_FFI_DLL_EXPORT_TYPED_FUNC(remat_profile, memopt::remat_profile);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(remat_walk, memopt::remat_walk);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(remat_anneal, memopt::remat_anneal);
