#include "policy.h"

#include <cmath>
#include <unordered_set>

namespace memopt {

namespace {

// A hash of an op, the same on every platform.
uint64_t fingerprint(int32_t op) { return Random(static_cast<uint64_t>(op)).next(); }

double gumbel(Random& random) { return -std::log(-std::log(random.uniform() + 1e-12) + 1e-12); }

// The ready ops of a state in ascending order, with the score, the probability and the state features of each.
struct Softmax {
  std::vector<int32_t> ready;
  std::vector<double> score, share;
  std::vector<StateVector> features;
  double log_sum = 0;

  void fill(PolicyState& state) {
    ready = state.ready();  // scoring reorders the state's own list
    std::sort(ready.begin(), ready.end());
    score.resize(ready.size());
    share.resize(ready.size());
    features.resize(ready.size());
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (size_t i = 0; i < ready.size(); ++i) {
      score[i] = state.score(ready[i]);
      features[i] = state.features();
      top = std::max(top, score[i]);
    }
    for (size_t i = 0; i < ready.size(); ++i) sum += share[i] = std::exp(score[i] - top);
    for (double& value : share) value /= sum;
    log_sum = top + std::log(sum);
  }
};

}  // namespace

PolicyState::PolicyState(const Problem& problem, const Policy& policy, int64_t limit)
    : problem_(&problem), policy_(&policy), state_(problem), limit_(limit), since_(problem.ops, -1) {
  double kept = 0;
  for (int64_t bytes : problem.kept) kept += static_cast<double>(bytes);
  unit_ = std::max(1.0, kept / std::max(1, problem.ops));
  per_step_ = 1 / std::sqrt(std::max(1, problem.ops));
  taken_.reserve(problem.ops);
  held_.reserve(problem.ops);
  for (int32_t op : ready()) since_[op] = 0;
  make_safe_moves();
}

double PolicyState::peak_with(int32_t op) const {
  return static_cast<double>(std::max(peak_, state_.step_bytes(op))) / unit_;
}

uint64_t PolicyState::key_with(int32_t op) const { return key_ ^ fingerprint(op); }

void PolicyState::run(int32_t op) {
  step(op);
  make_safe_moves();
}

void PolicyState::step(int32_t op) {
  held_.push_back(state_.step_bytes(op));
  taken_.push_back(op);
  peak_ = std::max(peak_, held_.back());
  key_ ^= fingerprint(op);
  const int32_t executed = static_cast<int32_t>(taken_.size());
  state_.run(op, [&](int32_t other) {
    if (state_.is_ready(other) && since_[other] < 0) since_[other] = executed;
  });
}

void PolicyState::make_safe_moves() {
  if (!policy_->safe_moves) return;
  while (true) {
    const int64_t most = std::max(peak_, limit_);
    int32_t safe = -1;
    for (int32_t op : ready()) {
      if ((safe < 0 || op < safe) && state_.delta(op) <= 0 && state_.step_bytes(op) <= most) safe = op;
    }
    if (safe < 0) return;
    step(safe);
  }
}

double PolicyState::score(int32_t op) {
  double score = policy_->priority[op];
  if (policy_->weights.empty()) return score;
  look(op);
  for (int32_t i = 0; i < kStateFeatures; ++i) score += policy_->weights[op * kStateFeatures + i] * features_[i];
  return score;
}

void PolicyState::look(int32_t op) {
  double share = 0;
  for (int32_t p : problem_->before[op]) share += static_cast<double>(problem_->kept[p]) / state_.waiting(p);
  features_[kDelta] = static_cast<double>(state_.delta(op)) / unit_;
  features_[kShare] = share / unit_;
  features_[kUnlock] = unlock(op) / unit_;
  features_[kRecency] = since_[op] * per_step_;
  features_[kValley] = valley(op) / unit_;
}

double PolicyState::unlock(int32_t op) const {
  const auto opened = problem_->reads[op];
  int64_t sum = 0;
  for (int32_t p : problem_->before[op]) {
    if (state_.waiting(p) != 1) continue;
    int64_t delta = state_.delta(p);
    for (int32_t t : problem_->reads[p]) {
      if (state_.count(t) == 0 && std::find(opened.begin(), opened.end(), t) != opened.end())
        delta -= problem_->nbytes[t];
    }
    sum += std::min<int64_t>(0, delta);
  }
  return static_cast<double>(sum);
}

double PolicyState::valley(int32_t op) {
  const int64_t before = state_.live();
  trail_.assign(1, op);
  fresh_.clear();
  const auto note = [&](int32_t other) { fresh_.push_back(other); };
  state_.run(op, note);
  int64_t least = state_.live();
  while (!fresh_.empty() && trail_.size() < kLongestValley) {
    const int32_t next = fresh_.back();
    fresh_.pop_back();
    if (!state_.is_ready(next) || state_.delta(next) > 0) continue;
    state_.run(next, note);
    trail_.push_back(next);
    least = std::min(least, state_.live());
  }
  for (size_t i = trail_.size(); i-- > 0;) state_.undo(trail_[i]);
  return static_cast<double>(least - before);
}

void draw_order(PolicyState& state, std::span<const float> noise, Random* random) {
  std::vector<int32_t> ready;
  while (!state.done()) {
    ready = state.ready();
    std::sort(ready.begin(), ready.end());  // scoring reorders them, but noise and ties depend on op numbers
    int32_t best = -1;
    double top = 0;
    for (int32_t op : ready) {
      double score = state.score(op);
      if (!noise.empty())
        score += noise[op];
      else if (random != nullptr)
        score += gumbel(*random);
      if (best < 0 || score > top) {
        best = op;
        top = score;
      }
    }
    state.run(best);
  }
}

double follow_order(PolicyState& state, std::span<const int32_t> order, std::span<const float> importance,
                    const PolicyGradient& gradient, int64_t& decisions) {
  Softmax softmax;
  double log_probability = 0;
  decisions = 0;
  for (size_t i = order.size(); i-- > 0;) {
    const int32_t chosen = order[i];
    if (state.is_executed(chosen)) continue;
    if (!state.is_ready(chosen)) throw std::runtime_error("policy: not a topological order");
    const double weight = importance.empty() ? 1.0 : importance[state.taken().size()];
    if (weight != 0 && state.ready().size() > 1) {
      softmax.fill(state);
      ++decisions;
      for (size_t r = 0; r < softmax.ready.size(); ++r) {
        const int32_t op = softmax.ready[r];
        if (op == chosen) log_probability += softmax.score[r] - softmax.log_sum;
        const double coefficient = weight * ((op == chosen ? 1.0 : 0.0) - softmax.share[r]);
        gradient.priority[op] += static_cast<float>(coefficient);
        if (gradient.weights.empty()) continue;
        for (int32_t f = 0; f < kStateFeatures; ++f) {
          gradient.weights[op * kStateFeatures + f] += static_cast<float>(coefficient * softmax.features[r][f]);
        }
      }
    }
    state.run(chosen);
  }
  return log_probability;
}

std::vector<int32_t> beam_order(const PolicyState& start, int64_t width, int64_t branches, double peak_weight,
                                const Control& control) {
  struct Child {
    size_t parent;
    int32_t op;
    double log_probability, rank;
  };
  std::vector<PolicyState> states{start}, next_states;
  std::vector<double> log_probability{0}, next_log_probability;
  std::vector<int32_t> best;
  int64_t best_peak = 0;
  Softmax softmax;
  while (!states.empty()) {
    std::vector<Child> children;
    for (size_t i = 0; i < states.size(); ++i) {
      if (states[i].done()) {
        if (best.empty() || states[i].peak() < best_peak) {
          best = states[i].taken();
          best_peak = states[i].peak();
        }
        continue;
      }
      softmax.fill(states[i]);
      std::vector<size_t> likeliest(softmax.ready.size());
      std::iota(likeliest.begin(), likeliest.end(), 0);
      std::stable_sort(likeliest.begin(), likeliest.end(),
                       [&](size_t a, size_t b) { return softmax.score[a] > softmax.score[b]; });
      likeliest.resize(std::min<size_t>(likeliest.size(), branches));
      for (size_t r : likeliest) {
        const int32_t op = softmax.ready[r];
        const double sum = log_probability[i] + softmax.score[r] - softmax.log_sum;
        children.push_back({i, op, sum, sum - peak_weight * states[i].peak_with(op)});
      }
    }
    std::stable_sort(children.begin(), children.end(), [](const Child& a, const Child& b) { return a.rank > b.rank; });
    next_states.clear();
    next_log_probability.clear();
    std::unordered_set<uint64_t> seen;
    for (const Child& child : children) {
      if (static_cast<int64_t>(next_states.size()) >= (control.stopped() ? 1 : width)) break;
      if (!seen.insert(states[child.parent].key_with(child.op)).second) continue;
      next_states.push_back(states[child.parent]);
      next_states.back().run(child.op);
      next_log_probability.push_back(child.log_probability);
    }
    states.swap(next_states);
    log_probability.swap(next_log_probability);
  }
  return best;
}

}  // namespace memopt
