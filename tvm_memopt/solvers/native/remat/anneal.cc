#include "anneal.h"

#include <cmath>
#include <limits>

namespace memopt {

namespace {

constexpr int64_t kRespreadEvery = 20;  // moves per step between two respreads
constexpr int64_t kAdaptEvery = 512;    // moves between two adaptations of the weight
constexpr double kRunShare = 0.5;       // cost of a run besides its op's, in temperatures: limits repeats of free ops
constexpr double kStepShare = 3.0;      // cost of a step over the budget besides its bytes, in temperatures

class RematAnnealing {
 public:
  RematAnnealing(const RematProblem& problem, std::span<const int32_t> start, int64_t budget, int32_t longest,
                 const RematOptions& options, const Control& control)
      : problem_(problem),
        options_(options),
        control_(control),
        budget_(std::max<double>(1, static_cast<double>(budget))),
        random_(options.seed),
        sequence_(problem, budget, longest),
        mover_(problem, sequence_, random_, options.switches),
        weight_(options.weight) {
    for (double cost : problem.cost) base_ += cost;
    if (!(base_ > 0)) base_ = 1;
    sequence_.load(start);
    keep();
  }

  RematFound run() {
    RematFound found;
    int64_t respread = 0;
    for (; found.made < options_.moves; ++found.made) {
      if (found.made % kAdaptEvery == 0) {
        if (control_.stopped() || (within_ && best_cost_ <= options_.target)) break;
        cool(static_cast<double>(found.made) / static_cast<double>(options_.moves));
      }
      if (found.made >= respread ||
          (mover_.cramped() && found.made + (kRespreadEvery - 4) * sequence_.steps() >= respread)) {
        sequence_.drop_useless();
        sequence_.respread();
        keep();
        steps_ = sequence_.steps();
        respread = found.made + kRespreadEvery * sequence_.steps();
      }
      move();
    }
    found.schedule = cleaned();
    return found;
  }

 private:
  void cool(double done) {
    temperature_ = options_.hot * std::pow(options_.cold / options_.hot, done);
    if (options_.adapt) {
      const double share = static_cast<double>(within_count_) / static_cast<double>(kAdaptEvery);
      if (share < 0.1) weight_ *= 1.05;
      if (share > 0.5) weight_ /= 1.05;
      weight_ = std::clamp(weight_, options_.weight * 1e-3, options_.weight * 1e3);
    }
    within_count_ = 0;
    byte_weight_ = weight_ / budget_;
    step_weight_ = kStepShare * temperature_;
  }

  void move() {
    within_count_ += sequence_.over() == 0;
    // The random threshold is drawn first, so that a move whose runs cost too much, even if it removed all excess
    // bytes, is not made.
    const double most = -std::log(1 - random_.uniform()) * temperature_;
    const double gain = byte_weight_ * sequence_.excess() + step_weight_ * sequence_.over();
    const Allowance allowance{base_ * (most + gain), base_ * kRunShare * temperature_};
    if (!mover_.propose(options_.repeats, allowance) || !sequence_.valid()) {
      sequence_.undo();
      return;
    }
    const Change change = sequence_.weigh();
    const double longer = kRunShare * temperature_ * (sequence_.steps() - steps_);
    const double worse = change.cost / base_ + byte_weight_ * change.excess + step_weight_ * change.over + longer;
    if (worse > most) {
      sequence_.undo();
      return;
    }
    sequence_.commit();
    steps_ = sequence_.steps();
    keep();
  }

  void keep() {
    if (sequence_.over() == 0) {
      if (within_ && sequence_.cost() >= best_cost_ - 1e-12 * base_) return;
      within_ = true;
      best_cost_ = sequence_.cost();
      best_ = sequence_.schedule();
    } else if (!within_ && sequence_.excess() < 0.999 * least_excess_) {
      least_excess_ = sequence_.excess();
      const int64_t peak = sequence_.peak();
      if (peak >= least_peak_) return;
      least_peak_ = peak;
      best_ = sequence_.schedule();
    }
  }

  std::vector<int32_t> cleaned() {
    sequence_.load(best_);
    sequence_.drop_useless();
    return sequence_.schedule();
  }

  const RematProblem& problem_;
  const RematOptions options_;
  const Control& control_;
  const double budget_;
  double base_ = 0;
  Random random_;
  Sequence sequence_;
  Mover mover_;
  double weight_, byte_weight_ = 0, step_weight_ = 0, temperature_ = 1;
  int64_t within_count_ = 0;
  int32_t steps_ = 0;
  std::vector<int32_t> best_;
  bool within_ = false;
  double best_cost_ = 0;
  double least_excess_ = std::numeric_limits<double>::infinity();
  int64_t least_peak_ = std::numeric_limits<int64_t>::max();
};

}  // namespace

RematFound anneal_remat(const RematProblem& problem, std::span<const int32_t> start, int64_t budget, int32_t longest,
                        const RematOptions& options, const Control& control) {
  return RematAnnealing(problem, start, budget, longest, options, control).run();
}

}  // namespace memopt
