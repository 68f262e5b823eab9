"""The plain twin of PolicyState in native/order/learned/policy.h: an order made from the end, op by op."""

from __future__ import annotations

from copy import copy

from tvm_memopt.graph import Graph
from tvm_memopt.graph.liveness import best_sharing
from tvm_memopt.solvers.native.order.learned import Policy
from tvm_memopt.solvers.order.live_state import MemoryTables, memory_tables

_LONGEST_VALLEY = 24


class EndState:
    """What is live when ops are taken off the end of a program: a tensor opens at its last reader, closes at its op."""

    def __init__(self, graph: Graph, tables: MemoryTables) -> None:
        self.graph, self.tables = graph, tables
        freed = {t for row in tables.frees for t in row}
        self.live = tables.start_live + sum(tables.kept) - sum(tables.nbytes[t] for t in freed)
        self.opened = [0] * len(graph.tensors)  # readers taken
        self.waiting = [len(after) for after in graph.successors]
        self.ready = {op for op, count in enumerate(self.waiting) if count == 0}
        self.steps = 0

    def copy(self) -> EndState:
        """A state that goes its own way."""
        other = copy(self)
        other.opened, other.waiting, other.ready = self.opened.copy(), self.waiting.copy(), self.ready.copy()
        return other

    def delta(self, op: int) -> int:
        """Net change of live bytes."""
        tables = self.tables
        return sum(tables.nbytes[t] for t in tables.frees[op] if not self.opened[t]) - tables.kept[op]

    def step_bytes(self, op: int) -> int:
        """Bytes held during the op's step."""
        tables = self.tables
        usable = [pair for pair in tables.pairs[op] if not self.opened[pair[0]]]
        shared = best_sharing(usable) if usable else 0
        orphans = tables.orphans if self.steps + 1 == len(self.graph.ops) else 0
        return self.live + self.delta(op) + tables.transient[op] - shared + orphans

    def run(self, op: int) -> list[int]:
        """Take the op; the ops whose effect is no longer what it was."""
        changed: list[int] = []
        self.live += self.delta(op)
        self.steps += 1
        self.ready.discard(op)
        for tensor in self.tables.frees[op]:
            if not self.opened[tensor]:
                changed += [reader for reader in self.graph.readers[tensor] if reader != op]
            self.opened[tensor] += 1
        for before in self.graph.predecessors[op]:
            self.waiting[before] -= 1
            if self.waiting[before] == 0:
                self.ready.add(before)
                changed.append(before)
        return changed


class PlainPolicyState:
    """Decisions of a policy along one order; safe moves are made whenever there are any."""

    def __init__(self, graph: Graph, policy: Policy, limit: int = 0) -> None:
        self.graph, self.policy, self.limit = graph, policy, limit
        tables = memory_tables(graph)
        self.state = EndState(graph, tables)
        self.unit = max(1.0, sum(tables.kept) / max(1, len(graph.ops)))
        self.per_step = 1 / max(1, len(graph.ops)) ** 0.5
        self.since = dict.fromkeys(self.state.ready, 0)
        self.taken: list[int] = []
        self.held: list[int] = []
        self._make_safe_moves()

    def copy(self) -> PlainPolicyState:
        """A state that goes its own way."""
        other = copy(self)
        other.state, other.since = self.state.copy(), self.since.copy()
        other.taken, other.held = self.taken.copy(), self.held.copy()
        return other

    @property
    def ready(self) -> list[int]:
        """Ops to decide between, by number."""
        return sorted(self.state.ready)

    @property
    def peak(self) -> int:
        """The largest step so far."""
        return max(self.held, default=0)

    def run(self, op: int) -> None:
        """Run a ready op, then the safe moves."""
        self._step(op)
        self._make_safe_moves()

    def score(self, op: int) -> float:
        """Priority, and what the state adds."""
        score = float(self.policy.priority[op])
        if self.policy.weights.size:
            for weight, feature in zip(self.policy.weights[op].tolist(), self.features(op), strict=True):
                score += weight * feature
        return score

    def features(self, op: int) -> list[float]:
        """The state features of a ready op, as STATE_FEATURES lists them."""
        kept = self.state.tables.kept
        share = 0.0
        for before in self.graph.predecessors[op]:
            share += kept[before] / self.state.waiting[before]
        return [
            self.state.delta(op) / self.unit,
            share / self.unit,
            self._unlock(op) / self.unit,
            self.since[op] * self.per_step,
            self._valley(op) / self.unit,
        ]

    def _step(self, op: int) -> None:
        self.held.append(self.state.step_bytes(op))
        self.taken.append(op)
        for other in self.state.run(op):
            if other in self.state.ready:
                self.since.setdefault(other, len(self.taken))

    def _make_safe_moves(self) -> None:
        while self.policy.safe_moves:
            most = max(self.peak, self.limit)
            safe = [op for op in self.ready if self.state.delta(op) <= 0 and self.state.step_bytes(op) <= most]
            if not safe:
                return
            self._step(safe[0])

    def _unlock(self, op: int) -> int:
        state, frees = self.state, self.state.tables.frees
        total = 0
        for before in self.graph.predecessors[op]:
            if state.waiting[before] == 1:
                opened = [t for t in frees[before] if not state.opened[t] and t in frees[op]]
                total += min(0, state.delta(before) - sum(state.tables.nbytes[t] for t in opened))
        return total

    def _valley(self, op: int) -> int:
        state = self.state.copy()
        fresh, moves = state.run(op), 1
        least = state.live
        while fresh and moves < _LONGEST_VALLEY:
            following = fresh.pop()
            if following not in state.ready or state.delta(following) > 0:
                continue
            fresh += state.run(following)
            moves += 1
            least = min(least, state.live)
        return least - self.state.live
