#include "moves.h"

namespace memopt {

namespace {

constexpr int32_t kNear = 24;     // slots spanned by a short move
constexpr int32_t kTries = 8;     // slots tried to find a free one
constexpr int32_t kReach = 16;    // slots searched for a gap to close
constexpr int32_t kDeepest = 40;  // most levels of a chain of repeats
constexpr int32_t kMost = 40;     // most runs that one move adds
constexpr int32_t kLongestBlock = 8;
constexpr int32_t kFarthestBlock = 30;  // steps
constexpr int32_t kProbes = 16;         // steps, and tensors, sampled to find a heavy one

}  // namespace

Mover::Mover(const RematProblem& problem, Sequence& sequence, Random& random, RematSwitches switches)
    : problem_(problem), sequence_(sequence), random_(random), switches_(switches) {
  for (int32_t t = 0; t < problem.tensors; ++t) {
    if (problem.producer[t] >= 0 && problem.repeatable[problem.producer[t]]) again_.push_back(t);
  }
}

bool Mover::propose(bool repeats, Allowance most) {
  most_ = most;
  steps_ = sequence_.steps();
  const double dice = random_.uniform();
  if (!repeats || again_.empty())
    return switches_.block_moves && dice < 0.2 ? (dice < 0.1 ? push() : move_block()) : relocate();
  if (dice < 0.35) return relocate();
  if (dice < 0.45) return switches_.block_moves ? (random_.below(2) ? push() : move_block()) : relocate();
  const bool drops = sequence_.steps() > problem_.ops;
  if (dice < 0.65 && drops) return drop_repeat();
  if (dice < 0.80 && drops && switches_.exchange) return exchange();
  if (sequence_.full()) return relocate();
  return switches_.guided && dice < 0.98 ? add_across(heavy_step()) : add_anywhere();
}

// Moves one run to a free slot: nearby, anywhere in its room, to an end of it, or beyond.
bool Mover::relocate() {
  const int32_t op = static_cast<int32_t>(random_.below(problem_.ops));
  const int32_t from = some_run(op);
  auto [low, high] = room(op, from);
  const uint64_t kind = random_.below(16);
  if (kind < 8) {
    low = std::max(low, from - kNear);
    high = std::min(high, from + kNear);
  } else if (kind == 15) {
    low = std::max(-1, from - sequence_.slots() / 8);
    high = std::min(sequence_.slots(), from + sequence_.slots() / 8);
  } else if (kind >= 13) {
    int32_t to = -1;
    if (random_.below(2) == 0) {
      to = high < sequence_.slots() ? open_before(high) : -1;
    } else {
      for (int32_t s = low + 1; s < from && to < 0; ++s) to = sequence_.op_at(s) < 0 ? s : -1;
    }
    return shift_to(from, to);
  }
  return shift_to(from, free_in(from, low, high));
}

bool Mover::shift_to(int32_t from, int32_t to) {
  if (to < 0 || sequence_.op_at(from) < 0) return false;
  const int32_t step = to < from ? -1 : 1;
  for (int32_t s = from + step; s != to && s != from; s += step) {
    if (sequence_.op_at(s) < 0) continue;
    sequence_.relocate(from, to);
    return true;
  }
  return sequence_.edited();
}

// Moves a run together with the neighbour that blocks it: the neighbour into its own room, the run behind it.
bool Mover::push() {
  const int32_t op = static_cast<int32_t>(random_.below(problem_.ops));
  const int32_t from = some_run(op);
  const auto [low, high] = room(op, from);
  const bool up = random_.below(2) == 0;
  const int32_t wall = up ? high : low;
  if (wall < 0 || wall >= sequence_.slots()) return false;
  const auto [their_low, their_high] = room(sequence_.op_at(wall), wall);
  const int32_t to = up ? free_in(wall, wall, their_high) : free_in(wall, their_low, wall);
  if (to < 0) return false;
  sequence_.relocate(wall, to);
  const auto [lowest, highest] = room(op, from);
  const int32_t step = up ? -1 : 1;
  for (int32_t s = up ? std::min(to, highest) - 1 : std::max(to, lowest) + 1; up ? s > from : s < from; s += step) {
    if (sequence_.op_at(s) >= 0) continue;
    sequence_.relocate(from, s);
    return true;
  }
  return false;
}

// Moves a few consecutive steps, in their order, before another step nearby, as far as their inputs and their readers
// allow.
bool Mover::move_block() {
  const int32_t slots = sequence_.slots();
  std::vector<std::pair<int32_t, int32_t>> block;
  const size_t length = 2 + random_.below(kLongestBlock - 1);
  for (int32_t slot = some_step(); slot < slots && block.size() < length; ++slot) {
    if (sequence_.op_at(slot) >= 0) block.push_back({sequence_.op_at(slot), slot});
  }
  const int32_t first = block.front().second, last = block.back().second;
  int32_t low = -1, high = slots;
  for (const auto& [op, from] : block) {
    const auto [lowest, highest] = room(op, from, first, last);
    low = std::max(low, lowest);
    high = std::min(high, highest);
  }
  const bool up = random_.below(2) == 0;
  int32_t to = up ? last + 1 : first;
  int32_t passed = 0;
  for (int32_t left = 1 + static_cast<int32_t>(random_.below(kFarthestBlock)), s = up ? last + 1 : first - 1; left > 0;
       s += up ? 1 : -1) {
    if (up ? s >= high : s <= low) break;
    if (sequence_.op_at(s) < 0) continue;
    to = up ? s + 1 : s;
    ++passed;
    --left;
  }
  if (passed == 0) return false;
  for (const auto& [op, from] : block) {
    if (sequence_.op_at(from) != op) return false;  // making room has moved it
    const int32_t free = open_before(to);
    if (free < 0 || sequence_.op_at(from) != op) return false;
    sequence_.relocate(from, free);
  }
  return true;
}

bool Mover::add_anywhere() {
  const int32_t op = problem_.producer[again_[random_.below(again_.size())]];
  const int32_t first = sequence_.runs(op).front();
  if (!affords(op)) return false;
  const int32_t to = free_in(first, first, sequence_.slots());
  if (to < 0) return false;
  sequence_.insert(op, to);
  return true;
}

bool Mover::add_across(int32_t slot) {
  const double chain = switches_.chains ? 0.45 * static_cast<double>(random_.below(3)) : 0;
  added_ = 0;
  const uint64_t rivals = 1 + random_.below(4);
  Gap best;
  uint64_t met = 0;
  for (int32_t probe = 0; probe < 2 * kProbes && met < rivals; ++probe) {
    const Gap gap = gap_at(again_[random_.below(again_.size())], slot);
    if (gap.tensor < 0 || !affords(problem_.producer[gap.tensor])) continue;
    ++met;
    if (best.tensor < 0 || gap.rate < best.rate) best = gap;
  }
  return best.tensor >= 0 && run_before(problem_.producer[best.tensor], best.use, chain, 0);
}

Mover::Gap Mover::gap_at(int32_t tensor, int32_t slot) const {
  const int32_t low = sequence_.run_before(tensor, slot);
  if (low < 0) return {};
  const int32_t high = sequence_.run_after(tensor, slot - 1);
  if (high == slot) return {};
  int32_t use = sequence_.end_of(tensor, low, high);
  if (use <= slot) return {};
  for (int32_t read : sequence_.readers(tensor)) {
    if (read == slot) return {};
    if (read > slot) {
      use = std::min(use, read);
      break;
    }
  }
  return {
      tensor, use,
      problem_.cost[problem_.producer[tensor]] / static_cast<double>(std::max<int64_t>(1, problem_.nbytes[tensor]))};
}

// Runs the op right before `use` and, each with probability `chain`, the producers of its inputs that are not live
// there.
bool Mover::run_before(int32_t op, int32_t use, double chain, int32_t depth) {
  if (sequence_.full() || added_ >= kMost || !affords(op)) return depth > 0;
  const int32_t slot = open_before(use);
  if (slot < 0) return depth > 0;
  sequence_.insert(op, slot);
  if (++added_ >= kMost || depth >= kDeepest || chain <= 0) return true;
  for (int32_t t : problem_.reads[op]) {
    const int32_t producer = problem_.producer[t];
    if (producer < 0 || !problem_.repeatable[producer]) continue;
    const int32_t low = sequence_.run_before(t, slot);
    if (low < 0 || random_.uniform() >= chain) continue;
    int32_t end = low;  // the last use before this one
    bool later = false;
    const int32_t high = sequence_.run_after(t, slot);
    for (int32_t read : sequence_.readers(t)) {
      if (read > low && read < slot) end = read;
      later = later || (read > slot && read < high);
    }
    later = later || (high >= sequence_.slots() && problem_.returned[t]);
    if (!later && slot - end > 8) run_before(producer, slot, chain, depth + 1);
  }
  return true;
}

bool Mover::drop_repeat() {
  const int32_t op = some_repeat();
  if (op < 0) return false;
  const auto& runs = sequence_.runs(op);
  const uint64_t first = random_.below(16) == 0 ? 0 : 1;  // the first run is usually needed by others
  drop_with_feeders(op, runs[first + random_.below(runs.size() - first)], 0);
  return true;
}

// Drops a run, and the repeats that only it reads.
void Mover::drop_with_feeders(int32_t op, int32_t slot, int32_t depth) {
  std::vector<std::pair<int32_t, int32_t>> feeders;
  for (int32_t t : problem_.reads[op]) {
    const int32_t producer = problem_.producer[t];
    if (producer < 0 || sequence_.runs(producer).size() < 2) continue;
    const int32_t run = sequence_.run_before(t, slot);
    if (run >= 0) feeders.push_back({producer, run});
  }
  sequence_.remove(op, slot);
  if (depth >= kDeepest) return;
  for (const auto& [producer, run] : feeders) {
    if (sequence_.op_at(run) != producer || sequence_.runs(producer).size() < 2) continue;
    if (!sequence_.useful(producer, run)) drop_with_feeders(producer, run, depth + 1);
  }
}

// Drops a repeat and shortens another lifetime between its position and the run that then provides its tensor.
bool Mover::exchange() {
  const int32_t op = some_repeat();
  if (op < 0) return false;
  const auto& runs = sequence_.runs(op);
  const size_t which = 1 + random_.below(runs.size() - 1);
  const int32_t slot = runs[which], before = runs[which - 1];
  drop_with_feeders(op, slot, 0);
  if (sequence_.runs(op).size() == 0) return false;
  const int32_t across = before + static_cast<int32_t>(random_.below(slot - before + 1));
  add_across(across);
  return true;
}

int32_t Mover::some_repeat() {
  for (int32_t probe = 0; probe < 4 * kProbes; ++probe) {
    const int32_t op = sequence_.op_at(some_step());
    if (op >= 0 && sequence_.runs(op).size() > 1) return op;
  }
  return -1;
}

int32_t Mover::some_step() {
  const int32_t slots = sequence_.slots();
  int32_t slot = static_cast<int32_t>(random_.below(slots));
  for (int32_t i = 0; i < slots && sequence_.op_at(slot) < 0; ++i) slot = slot + 1 < slots ? slot + 1 : 0;
  return slot;
}

int32_t Mover::heavy_step() {
  int32_t slot = some_step();
  if (sequence_.over() == 0 || random_.below(8) == 0) return slot;
  for (int32_t probe = 0; probe < kProbes && !sequence_.over_budget(slot); ++probe) slot = some_step();
  return slot;
}

// Slots between the latest runs that it reads from and the first use of its outputs. Steps from `first` to `last` move
// along with it.
std::pair<int32_t, int32_t> Mover::room(int32_t op, int32_t slot, int32_t first, int32_t last) const {
  int32_t low = -1, high = sequence_.slots();
  const auto after = [&](int32_t other) { low = other < first ? std::max(low, other) : low; };
  const auto before = [&](int32_t other) { high = other > last ? std::min(high, other) : high; };
  for (int32_t p : problem_.before[op]) after(sequence_.runs(p).front());
  for (int32_t t : problem_.reads[op]) after(sequence_.run_before(t, slot));
  if (slot == sequence_.runs(op).front()) {
    const auto& runs = sequence_.runs(op);
    if (runs.size() > 1) before(runs[1]);
    for (int32_t s : problem_.after[op]) before(sequence_.runs(s).front());
  }
  for (int32_t t : problem_.writes[op]) {
    for (int32_t read : sequence_.readers(t)) {
      if (read <= last) continue;
      before(read);
      break;
    }
  }
  return {low, high};
}

// A free slot between low and high, or -1.
int32_t Mover::free_in(int32_t from, int32_t low, int32_t high) {
  if (high - low <= 2) return -1;
  int32_t to = low + 1 + static_cast<int32_t>(random_.below(high - low - 1));
  const int32_t step = to < from ? -1 : 1;
  for (int32_t i = 0; i < kTries && to > low && to < high && sequence_.op_at(to) >= 0; ++i) to += step;
  return to <= low || to >= high || sequence_.op_at(to) >= 0 ? -1 : to;
}

// A free slot right before `slot`, if necessary after moving the runs before it down by one; -1 if all are taken.
int32_t Mover::open_before(int32_t slot) {
  int32_t low = slot - 1;
  while (low >= 0 && slot - low <= kReach && sequence_.op_at(low) >= 0) --low;
  if (low < 0 || sequence_.op_at(low) >= 0) {
    cramped_ = true;
    return -1;
  }
  if (low == slot - 1) {
    while (low > 0 && slot - low < 8 && sequence_.op_at(low - 1) < 0) --low;
    return (low + slot) / 2;
  }
  for (int32_t s = low; s + 1 < slot; ++s) sequence_.relocate(s + 1, s);
  return slot - 1;
}

}  // namespace memopt
