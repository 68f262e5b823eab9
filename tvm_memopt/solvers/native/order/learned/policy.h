// Orders by learned scores: list scheduling from the end, in which scores of ready ops may depend on the live tensors.
#pragma once

#include <array>

#include "../../control.h"
#include "../state.h"

namespace memopt {

// What the score of a ready op may depend on besides its fixed priority. From the end, running an op opens those of its
// inputs that no later op reads, and closes its outputs. Bytes are in units of the mean bytes that an op keeps.
enum StateFeature : int32_t {
  kDelta,    // net change of live bytes
  kShare,    // kept bytes of each predecessor over its successors to come: progress towards closing them
  kUnlock,   // sum of the net changes, if negative, of the ops that only wait for this one
  kRecency,  // when it became ready: executed ops over the square root of all
  kValley,   // least net change on the way through the op and the moves that free memory after it
  kStateFeatures
};

using StateVector = std::array<double, kStateFeatures>;

// Fixed priority of each op, and weights of its state features (ops x kStateFeatures; empty: priorities alone).
// `safe_moves`: immediately run an op that fits below the peak so far and does not increase the live bytes. This makes
// no order worse (solvers/order/downsets.py has the proof, which also holds from the end), unless unread arena inputs
// are live at the program's first step, whichever op that is.
struct Policy {
  std::span<const float> priority;
  std::span<const float> weights;
  bool safe_moves = true;
};

// An order under construction, built from the end of the program. Safe moves are made whenever possible; what remains
// is a decision between the ready ops.
class PolicyState {
 public:
  // `limit`: peaks up to it do not matter.
  PolicyState(const Problem& problem, const Policy& policy, int64_t limit);

  const std::vector<int32_t>& ready() const { return state_.ready(); }
  bool done() const { return ready().empty(); }
  bool is_ready(int32_t op) const { return state_.is_ready(op); }
  bool is_executed(int32_t op) const { return state_.is_executed(op); }
  const std::vector<int32_t>& taken() const { return taken_; }
  const std::vector<int64_t>& held() const { return held_; }
  int64_t peak() const { return peak_; }
  int64_t live() const { return state_.live(); }
  // Peak after the ready `op` has run, in units of mean kept bytes.
  double peak_with(int32_t op) const;
  // A hash of the executed set and `op`.
  uint64_t key_with(int32_t op) const;

  double score(int32_t op);
  // Features of the op that was scored last.
  const StateVector& features() const { return features_; }
  // Runs a ready op, then the safe moves.
  void run(int32_t op);

 private:
  static constexpr size_t kLongestValley = 24;

  void step(int32_t op);
  void make_safe_moves();
  void look(int32_t op);
  double unlock(int32_t op) const;
  double valley(int32_t op);

  const Problem* problem_;
  const Policy* policy_;
  ReverseState state_;
  int64_t limit_, peak_ = 0;
  uint64_t key_ = 0;
  double unit_, per_step_;
  StateVector features_{};
  std::vector<int32_t> since_, taken_;
  std::vector<int64_t> held_;
  std::vector<int32_t> trail_, fresh_;
};

// Draws an order. Each decision takes the largest score plus noise: `noise` per op if given, else fresh Gumbel noise
// from `random` if given.
void draw_order(PolicyState& state, std::span<const float> noise, Random* random);

// Weighted sums of gradients of the log-probability of decisions.
struct PolicyGradient {
  std::span<float> priority;
  std::span<float> weights;
};

// Follows `order` (first op first) as far as safe moves leave decisions, and returns their log-probability.
// `importance`: weight of the decision before each step from the end.
double follow_order(PolicyState& state, std::span<const int32_t> order, std::span<const float> importance,
                    const PolicyGradient& gradient, int64_t& decisions);

// Beam search over executed sets, `width` wide. From the `branches` likeliest ops of each set, it keeps those with the
// largest log-probability less `peak_weight` times the peak, in units of mean kept bytes. Returns the order with the
// last op first. The beam narrows to one when time is up.
std::vector<int32_t> beam_order(const PolicyState& start, int64_t width, int64_t branches, double peak_weight,
                                const Control& control);

}  // namespace memopt
