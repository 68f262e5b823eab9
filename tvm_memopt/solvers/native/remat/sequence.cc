#include "sequence.h"

#include <bit>
#include <utility>

#include "scan.h"

namespace memopt {

namespace {

constexpr double kFree = 0x1p47;  // how much less a free slot weighs than a step; a few of them still add up exactly

int32_t last_below(const std::vector<int32_t>& sorted, int32_t bound) {
  for (size_t i = sorted.size(); i-- > 0;) {
    if (sorted[i] < bound) return sorted[i];
  }
  return -1;
}

void put(std::vector<int32_t>& sorted, int32_t value) {
  size_t i = sorted.size();
  sorted.push_back(value);
  for (; i > 0 && sorted[i - 1] > value; --i) sorted[i] = sorted[i - 1];
  sorted[i] = value;
}

void drop(std::vector<int32_t>& sorted, int32_t value) {
  size_t i = sorted.size() - 1;
  while (sorted[i] != value) --i;
  for (; i + 1 < sorted.size(); ++i) sorted[i] = sorted[i + 1];
  sorted.pop_back();
}

}  // namespace

Sequence::Sequence(const RematProblem& problem, int64_t budget, int32_t longest)
    : problem_(problem),
      budget_(static_cast<double>(budget)),
      longest_(std::max(longest, problem.ops)),
      runs_(problem.ops),
      readers_(problem.tensors) {}

void Sequence::load(std::span<const int32_t> schedule) {
  steps_ = static_cast<int32_t>(schedule.size());
  slots_ = 3 * steps_ + 16;
  op_at_.assign(slots_, -1);
  step_change_.assign(slots_ + 1, 0);
  marked_.assign(slots_ / 64 + 1, 0);
  for (auto& runs : runs_) runs.clear();
  for (auto& readers : readers_) readers.clear();
  total_ = {};
  for (int64_t i = 0; i < steps_; ++i) {
    const int32_t op = schedule[i], slot = static_cast<int32_t>((2 * i + 1) * slots_ / (2 * steps_));
    op_at_[slot] = op;
    runs_[op].push_back(slot);
    for (int32_t t : problem_.reads[op]) readers_[t].push_back(slot);
    total_.cost += problem_.cost[op];
  }
  first_ = 0;
  while (first_ + 1 < slots_ && op_at_[first_] < 0) ++first_;
  weigh_all();
}

// Computes the live bytes of every slot from the lists.
void Sequence::weigh_all() {
  held_.assign(slots_ + 2, 0);
  const auto hold = [this](int32_t first, int32_t last, int64_t nbytes) {
    held_[first] += static_cast<double>(nbytes);
    held_[std::min(last, slots_ - 1) + 1] -= static_cast<double>(nbytes);
  };
  hold(0, first_, problem_.orphans);
  for (int32_t t = 0; t < problem_.tensors; ++t) {
    const int32_t producer = problem_.producer[t];
    if (producer < 0) hold(0, end_of(t, -1, slots_), problem_.nbytes[t]);
    for (size_t i = 0; producer >= 0 && i < runs_[producer].size(); ++i) {
      const int32_t run = runs_[producer][i];
      const int32_t next = i + 1 < runs_[producer].size() ? runs_[producer][i + 1] : slots_;
      hold(run, end_of(t, run, next), problem_.nbytes[t]);
    }
  }
  std::partial_sum(held_.begin(), held_.end(), held_.begin());
  held_.resize(slots_);
  shared_.assign(slots_, 0);
  for (int32_t slot = 0; slot < slots_; ++slot) {
    const int32_t op = op_at_[slot];
    if (op < 0) {
      held_[slot] -= kFree;
    } else {
      if (problem_.pair_start[op] != problem_.pair_start[op + 1]) shared_[slot] = sharing(op, slot);
      held_[slot] += static_cast<double>(problem_.workspace[op]) - shared_[slot];
    }
    held_[slot] -= budget_;
    total_.over += held_[slot] > 0;
    total_.excess += std::max(0.0, held_[slot]);
  }
}

std::vector<int32_t> Sequence::schedule() const {
  std::vector<int32_t> result;
  result.reserve(steps_);
  for (int32_t op : op_at_) {
    if (op >= 0) result.push_back(op);
  }
  return result;
}

int32_t Sequence::run_before(int32_t tensor, int32_t slot) const {
  const int32_t producer = problem_.producer[tensor];
  return producer < 0 ? -1 : last_below(runs_[producer], slot);
}

int32_t Sequence::run_after(int32_t tensor, int32_t slot) const {
  const int32_t producer = problem_.producer[tensor];
  if (producer >= 0) {
    for (int32_t run : runs_[producer]) {
      if (run > slot) return run;
    }
  }
  return slots_;
}

int32_t Sequence::end_of(int32_t tensor, int32_t low, int32_t high) const {
  if (high >= slots_ && problem_.returned[tensor]) return slots_;
  return std::max(low, last_below(readers_[tensor], high));
}

bool Sequence::useful(int32_t op, int32_t slot) const {
  for (int32_t t : problem_.writes[op]) {
    if (end_of(t, slot, run_after(t, slot)) > slot) return true;
  }
  return false;
}

bool Sequence::drop_useless() {
  bool dropped = false, changed = true;
  while (std::exchange(changed, false)) {
    for (int32_t slot = slots_; slot-- > 0;) {
      const int32_t op = op_at_[slot];
      if (op < 0 || runs_[op].size() < 2 || useful(op, slot)) continue;
      remove(op, slot);
      if (valid()) {
        weigh();
        commit();
        dropped = changed = true;
      } else {
        undo();
      }
    }
  }
  return dropped;
}

int64_t Sequence::peak() const {
  double most = -budget_;
  for (int32_t slot = 0; slot < slots_; ++slot) {
    if (op_at_[slot] >= 0) most = std::max(most, held_[slot]);
  }
  return static_cast<int64_t>(most + budget_);
}

std::vector<int64_t> Sequence::profile() const {
  std::vector<int64_t> result;
  for (int32_t slot = 0; slot < slots_; ++slot) {
    if (op_at_[slot] >= 0) result.push_back(static_cast<int64_t>(held_[slot] + budget_));
  }
  return result;
}

void Sequence::insert(int32_t op, int32_t slot) {
  for (int32_t t : problem_.reads[op]) add_read(t, slot);
  for (int32_t t : problem_.writes[op]) change_run(t, slot, 1);
  put(runs_[op], slot);
  op_at_[slot] = op;
  ++steps_;
  pending_.cost += problem_.cost[op];
  note(slot, slot, kFree + static_cast<double>(problem_.workspace[op]));
  if (problem_.pair_start[op] != problem_.pair_start[op + 1]) touched_.push_back(slot);
  edits_.push_back({op, slot, true});
}

void Sequence::remove(int32_t op, int32_t slot) {
  drop(runs_[op], slot);
  op_at_[slot] = -1;
  --steps_;
  for (int32_t t : problem_.writes[op]) change_run(t, slot, -1);
  for (int32_t t : problem_.reads[op]) drop_read(t, slot);
  pending_.cost -= problem_.cost[op];
  note(slot, slot, -kFree - static_cast<double>(problem_.workspace[op]));
  if (problem_.pair_start[op] != problem_.pair_start[op + 1]) touched_.push_back(slot);
  edits_.push_back({op, slot, false});
}

void Sequence::add_read(int32_t tensor, int32_t slot) {
  const int32_t low = run_before(tensor, slot);
  if (exists(tensor, low)) {
    const int32_t end = end_of(tensor, low, run_after(tensor, slot));
    if (slot > end) note(end + 1, slot, static_cast<double>(problem_.nbytes[tensor]));
    touch(tensor, end);
  }
  put(readers_[tensor], slot);
}

void Sequence::drop_read(int32_t tensor, int32_t slot) {
  drop(readers_[tensor], slot);
  const int32_t low = run_before(tensor, slot);
  if (!exists(tensor, low)) return;
  const int32_t end = end_of(tensor, low, run_after(tensor, slot));
  if (slot > end) note(end + 1, slot, -static_cast<double>(problem_.nbytes[tensor]));
  touch(tensor, end);
}

// A run at `slot`, which is not in the list, takes over (sign 1) or gives back (sign -1) the reads after it.
void Sequence::change_run(int32_t tensor, int32_t slot, double sign) {
  const int32_t low = run_before(tensor, slot), high = run_after(tensor, slot);
  const double nbytes = sign * static_cast<double>(problem_.nbytes[tensor]);
  const int32_t end = end_of(tensor, slot, high);
  if (low < 0) {
    note(slot, std::min(end, slots_ - 1), nbytes);
  } else {
    const int32_t old_end = end_of(tensor, low, slot);
    if (end > slot) {
      note(old_end + 1, slot - 1, -nbytes);
    } else {
      note(slot, slot, nbytes);
    }
    touch(tensor, old_end);
  }
  touch(tensor, end);
}

void Sequence::note(int32_t first, int32_t last, double nbytes) {
  if (first > last) return;
  step_change_[first] += nbytes;
  step_change_[last + 1] -= nbytes;
  marked_[first / 64] |= uint64_t{1} << (first % 64);
  marked_[(last + 1) / 64] |= uint64_t{1} << ((last + 1) % 64);
}

void Sequence::touch(int32_t tensor, int32_t slot) {
  if (problem_.shared_in[tensor] && slot >= 0 && slot < slots_) touched_.push_back(slot);
}

bool Sequence::valid() const {
  for (const auto& edit : edits_) {
    if (runs_[edit.op].empty()) return false;
    const int32_t first = runs_[edit.op].front();
    for (int32_t p : problem_.before[edit.op]) {
      if (runs_[p].empty() || runs_[p].front() > first) return false;
    }
    for (int32_t s : problem_.after[edit.op]) {
      if (!runs_[s].empty() && runs_[s].front() < first) return false;
    }
  }
  return true;
}

double Sequence::sharing(int32_t op, int32_t slot) const {
  std::vector<InplacePair> usable;
  for (const auto& pair : problem_.pairs_of(op)) {
    const int32_t low = run_before(pair.source, slot);
    if (exists(pair.source, low) && end_of(pair.source, low, run_after(pair.source, slot)) == slot)
      usable.push_back(pair);
  }
  if (usable.size() < 2) return usable.empty() ? 0 : static_cast<double>(usable[0].shared);
  return static_cast<double>(best_sharing(usable));
}

void Sequence::note_sharing() {
  std::sort(touched_.begin(), touched_.end());
  touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
  for (int32_t slot : touched_) {
    const int32_t op = op_at_[slot];
    const double now = op < 0 ? 0 : sharing(op, slot);
    if (now == shared_[slot]) continue;
    note(slot, slot, shared_[slot] - now);
    sharings_.push_back({slot, now});
  }
}

// Orphans are live up to the first step.
void Sequence::note_first() {
  next_first_ = first_;
  if (problem_.orphans == 0) return;
  next_first_ = 0;
  while (next_first_ < slots_ && op_at_[next_first_] < 0) ++next_first_;
  if (next_first_ >= slots_) next_first_ = 0;
  const double nbytes = static_cast<double>(problem_.orphans);
  note(first_ + 1, next_first_, nbytes);
  note(next_first_ + 1, first_, -nbytes);
}

// Collects the ranges of slots where memory changes, in order, and clears the marks.
void Sequence::list_stretches() {
  stretches_.clear();
  double nbytes = 0;
  int32_t first = 0;
  for (size_t word = 0; word < marked_.size(); ++word) {
    for (uint64_t bits = std::exchange(marked_[word], 0); bits != 0; bits &= bits - 1) {
      const int32_t slot = static_cast<int32_t>(64 * word) + std::countr_zero(bits);
      if (nbytes != 0) stretches_.push_back({first, slot - 1, nbytes});
      nbytes += std::exchange(step_change_[slot], 0);
      first = slot;
    }
  }
}

Change Sequence::weigh() {
  if (!touched_.empty()) note_sharing();
  note_first();
  list_stretches();
  pending_.over = pending_.excess = 0;
  for (const auto& s : stretches_) {
    const Over change = over_change(held_.data() + s.first, s.last - s.first + 1, s.nbytes);
    pending_.over += change.steps;
    pending_.excess += change.excess;
  }
  return pending_;
}

void Sequence::commit() {
  for (const auto& s : stretches_) {
    for (int32_t slot = s.first; slot <= s.last; ++slot) held_[slot] += s.nbytes;
  }
  for (const auto& [slot, shared] : sharings_) shared_[slot] = shared;
  first_ = next_first_;
  total_.cost += pending_.cost;
  total_.over += pending_.over;
  total_.excess += pending_.excess;
  forget();
}

void Sequence::forget() {
  pending_ = {};
  edits_.clear();
  stretches_.clear();
  touched_.clear();
  sharings_.clear();
}

void Sequence::undo() {
  for (size_t i = edits_.size(); i-- > 0;) {
    const auto [op, slot, inserted] = edits_[i];
    if (inserted) {
      drop(runs_[op], slot);
      for (int32_t t : problem_.reads[op]) drop(readers_[t], slot);
    } else {
      put(runs_[op], slot);
      for (int32_t t : problem_.reads[op]) put(readers_[t], slot);
    }
    op_at_[slot] = inserted ? -1 : op;
    steps_ += inserted ? -1 : 1;
  }
  list_stretches();
  forget();
}

}  // namespace memopt
