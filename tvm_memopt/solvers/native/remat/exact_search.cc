#include "exact_search.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "exact_bound.h"

namespace memopt {

namespace {

constexpr int64_t kNever = int64_t{1} << 62;

struct Node {
  Bits done, kept;
  int64_t repeats, estimate, bound;  // cost of repeats: so far; with those that must follow; with what these force
  int32_t parent;
  int16_t op;
  bool beaten;
};

// The part of a node that is compared with nodes of the same executed set.
struct Rival {
  Bits kept;
  int64_t repeats;
  int32_t id;
};

struct Closure {
  int64_t cost;
  Bits ops;
};

// What depends on the executed set alone.
struct Progress {
  Bits done, produced, awaited;  // awaited: storages with a reader that has not run
};

struct SetHash {
  size_t operator()(const Bits& set) const { return set.hash(); }
};

class Search {
 public:
  Search(const RecomputeProblem& problem, int64_t budget, int64_t cost_limit, bool safe_moves)
      : problem_(problem), budget_(budget), limit_(cost_limit), safe_moves_(safe_moves), crossing_(problem, budget) {
    for (size_t o = 0; o < problem_.ops.size(); ++o) all_.add(static_cast<int32_t>(o));
  }

  RecomputeAnswer run(size_t memory, const Control& control) {
    RecomputeAnswer answer;
    offer({problem_.done, problem_.kept, 0, 0, 0, -1, -1, false});
    while (!open_.empty()) {
      const int32_t id = open_.top().id;
      open_.pop();
      if (nodes_[id].beaten) continue;
      if ((++answer.states & 7) == 0 && (control.stopped() || nodes_.size() * kNodeBytes > memory)) return answer;
      if (complete(nodes_[id])) {
        answer.verdict = RecomputeVerdict::kFound;
        answer.cost = nodes_[id].repeats;
        for (int32_t at = id; nodes_[at].parent >= 0; at = nodes_[at].parent) answer.schedule.push_back(nodes_[at].op);
        std::reverse(answer.schedule.begin(), answer.schedule.end());
        return answer;
      }
      expand(id);
    }
    answer.verdict = RecomputeVerdict::kNone;
    return answer;
  }

 private:
  static constexpr size_t kNodeBytes = sizeof(Node) + 64;  // including its share of the queue and of the index

  struct Entry {
    int64_t bound;
    int32_t done, id;
    bool operator<(const Entry& other) const {
      return bound != other.bound ? bound > other.bound : done != other.done ? done < other.done : id < other.id;
    }
  };

  bool complete(const Node& node) const { return node.done == all_ && problem_.returned.within(node.kept); }

  Progress progress(const Bits& done) const {
    Progress p{done, problem_.sources, {}};
    for (size_t i = 0; i < problem_.storages.size(); ++i) {
      const auto& storage = problem_.storages[i];
      if (storage.producer >= 0 && done.has(storage.producer)) p.produced.add(static_cast<int32_t>(i));
      if (!storage.readers.within(done)) p.awaited.add(static_cast<int32_t>(i));
    }
    return p;
  }

  // The ops that must run again if only `kept` is live.
  Closure must_rerun(const Progress& p, const Bits& kept) const {
    Closure closure{0, {}};
    Bits missing = (p.produced & (p.awaited | problem_.returned)) - kept;
    while (!missing.empty()) {
      Bits further;
      bool never = false;
      missing.each([&](int32_t i) {
        const int32_t o = problem_.storages[i].producer;
        if (o < 0 || !problem_.ops[o].recomputable) {
          never = true;
        } else if (!closure.ops.has(o)) {
          closure.ops.add(o);
          closure.cost += problem_.ops[o].cost;
          further = further | problem_.ops[o].reads;
        }
      });
      if (never) return {kNever, {}};
      missing = (further & p.produced) - kept;
    }
    return closure;
  }

  bool may_rerun(int32_t o, const Bits& must, int64_t slack) const {
    return problem_.ops[o].recomputable && (must.has(o) || problem_.ops[o].cost <= slack);
  }

  Bits never_again(const Bits& done, const Bits& must, int64_t slack) const {
    Bits never;
    done.each([&](int32_t o) {
      if (!may_rerun(o, must, slack)) never.add(o);
    });
    return never;
  }

  Bits without_dead(const Bits& kept, const Bits& never) const {
    Bits alive = kept & problem_.returned;
    (kept - alive).each([&](int32_t i) {
      if (!problem_.storages[i].readers.within(never)) alive.add(i);
    });
    return alive;
  }

  void expand(int32_t id) {
    const Node node = nodes_[id];
    const Progress here = progress(node.done);
    const Closure must = must_rerun(here, node.kept);
    const int64_t slack = limit_ - node.estimate;
    std::vector<Node> found;
    for (int32_t o = 0; o < static_cast<int32_t>(problem_.ops.size()); ++o) {
      const auto& op = problem_.ops[o];
      if (!op.reads.within(node.kept)) continue;
      const bool again = node.done.has(o);
      const bool open =
          again ? may_rerun(o, must.ops, slack) && !op.writes.within(node.kept) : op.before.within(node.done);
      if (!open) continue;
      Progress after = here;
      if (!again) {
        after.done.add(o);
        after.produced = after.produced | op.writes;
        op.reads.each([&](int32_t i) {
          if (problem_.storages[i].readers.within(after.done)) after.awaited.remove(i);
        });
      }
      const size_t before = found.size();
      const bool whole = run_op(id, o, again, after, found);
      if (whole && !again && safe_moves_ && found.size() > before &&
          is_safe(o, node, must.ops, slack, found.back().kept)) {
        offer(found.back());
        return;
      }
    }
    for (const Node& next : found) offer(next);
  }

  // Adds the states after running `o`. True if the step fits without dropping anything.
  bool run_op(int32_t id, int32_t o, bool again, const Progress& after, std::vector<Node>& found) const {
    const Node& node = nodes_[id];
    const auto& op = problem_.ops[o];
    const int64_t repeats = node.repeats + (again ? op.cost : 0);
    const bool first = node.done.empty();
    Bits kept = node.kept | op.writes;
    Node next{after.done, kept, repeats, 0, 0, id, static_cast<int16_t>(o), false};
    if (!settle(after, next)) return false;
    const int64_t excess = problem_.step_bytes(o, next.kept, first) - budget_;
    if (excess <= 0) {
      found.push_back(next);
      return true;
    }
    Bits lent;
    for (const auto& pair : op.pairs) lent.add(pair.source);
    const Bits stays = op.writes | (op.reads - lent) | (first ? problem_.sources - (op.reads & lent) : Bits());
    std::vector<int32_t> choices;
    (next.kept - stays).each([&](int32_t i) {
      if (problem_.storages[i].nbytes > 0) choices.push_back(i);
    });
    std::sort(choices.begin(), choices.end(),
              [&](int32_t a, int32_t b) { return problem_.storages[a].nbytes > problem_.storages[b].nbytes; });
    std::vector<int64_t> rest(choices.size() + 1, 0);
    for (size_t i = choices.size(); i-- > 0;) rest[i] = rest[i + 1] + problem_.storages[choices[i]].nbytes;
    drop(o, first, after, next, Bits(), excess, choices, rest, 0, found);
    return false;
  }

  // Computes the estimate of `next` and drops dead storages. False if it exceeds the limit.
  bool settle(const Progress& after, Node& next) const {
    const Closure must = must_rerun(after, next.kept);
    next.estimate = must.cost >= kNever ? kNever : next.repeats + must.cost;
    if (next.estimate > limit_) return false;
    const int64_t slack = limit_ - next.estimate;
    next.kept = without_dead(next.kept, never_again(after.done, must.ops, slack));
    Bits never;  // including ops yet to run for the first time
    all_.each([&](int32_t o) {
      if (!may_rerun(o, must.ops, slack)) never.add(o);
    });
    next.bound = next.estimate + crossing_.further_cost(after.done, next.kept, after.produced, must.ops, never, slack);
    return next.bound <= limit_;
  }

  // Adds every minimal set of `choices`, from index `from` on, that together with `dropped` makes the step fit. A
  // storage frees at most its bytes, so the remaining excess must not exceed the rest.
  void drop(int32_t o, bool first, const Progress& after, const Node& whole, Bits dropped, int64_t excess,
            const std::vector<int32_t>& choices, const std::vector<int64_t>& rest, size_t from,
            std::vector<Node>& found) const {
    if (!dropped.empty()) {
      Node next = whole;
      next.kept = whole.kept - dropped;
      if (must_rerun(after, next.kept).cost > limit_ - next.repeats) return;
      if (problem_.step_bytes(o, next.kept, first) <= budget_) {
        if (is_smallest(o, first, next.kept, dropped) && settle(after, next)) found.push_back(next);
        return;
      }
    }
    for (size_t i = from; i < choices.size() && excess <= rest[i]; ++i) {
      Bits more = dropped;
      more.add(choices[i]);
      drop(o, first, after, whole, more, excess - problem_.storages[choices[i]].nbytes, choices, rest, i + 1, found);
    }
  }

  bool is_smallest(int32_t o, bool first, const Bits& kept, const Bits& dropped) const {
    bool smallest = true;
    dropped.each([&](int32_t i) {
      Bits more = kept;
      more.add(i);
      smallest = smallest && problem_.step_bytes(o, more, first) > budget_;
    });
    return smallest;
  }

  bool is_safe(int32_t o, const Node& node, const Bits& must, int64_t slack, const Bits& kept) const {
    const auto& op = problem_.ops[o];
    const int64_t written = problem_.nbytes(op.writes & kept);
    if (written == 0) return true;
    if (may_rerun(o, must, slack)) return false;
    int64_t freed = 0;
    (op.reads - problem_.returned).each([&](int32_t i) {
      const auto& storage = problem_.storages[i];
      if (storage.producer >= 0 && may_rerun(storage.producer, must, slack)) return;
      Bits others = storage.readers;
      others.remove(o);
      bool last = true;
      others.each([&](int32_t reader) { last = last && node.done.has(reader) && !may_rerun(reader, must, slack); });
      if (last) freed += storage.nbytes;
    });
    return freed >= written;
  }

  // Queues `node` unless another of its executed set is as good. Nodes that it beats are skipped later.
  void offer(const Node& node) {
    std::vector<Rival>& rivals = rivals_[node.done];
    for (const Rival& x : rivals) {
      if (x.repeats <= node.repeats && node.kept.within(x.kept)) return;
    }
    for (size_t i = rivals.size(); i-- > 0;) {
      if (rivals[i].repeats < node.repeats || !rivals[i].kept.within(node.kept)) continue;
      nodes_[rivals[i].id].beaten = true;
      rivals[i] = rivals.back();
      rivals.pop_back();
    }
    const int32_t id = static_cast<int32_t>(nodes_.size());
    rivals.push_back({node.kept, node.repeats, id});
    nodes_.push_back(node);
    open_.push({node.bound, node.done.count(), id});
  }

  const RecomputeProblem& problem_;
  int64_t budget_, limit_;
  bool safe_moves_;
  CrossingBound crossing_;
  Bits all_;
  std::vector<Node> nodes_;
  std::unordered_map<Bits, std::vector<Rival>, SetHash> rivals_;
  std::priority_queue<Entry> open_;
};

}  // namespace

RecomputeAnswer least_recompute(const RecomputeProblem& problem, int64_t budget, int64_t cost_limit, bool safe_moves,
                                size_t memory, const Control& control) {
  return Search(problem, budget, cost_limit, safe_moves).run(memory, control);
}

}  // namespace memopt
