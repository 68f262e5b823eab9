"""Schedules built by walking an order under the budget: tensors are evicted for room and recomputed when read.

The scores are those of dynamic tensor rematerialisation (Kirisame et al., ICLR 2021: cost over size and staleness).
Staleness is replaced by the distance to the next read, which is known here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.request import Deadline

_LONGEST = 4  # runs per op on average; the walk gives up beyond that


@dataclass(frozen=True)
class Score:
    """cost^a / (bytes^b · distance^c) of a storage. The storage with the smallest score is evicted first.

    ``cost`` is that of recomputing it, ``bytes`` its size, and ``distance`` the number of steps until it is read.
    """

    cost: int
    nbytes: int
    distance: int

    def of(self, cost: float, nbytes: int, distance: int) -> float:
        """The score of one storage."""
        return float(cost**self.cost / (nbytes**self.nbytes * distance**self.distance))


SCORES: Mapping[str, Score] = {
    "cost by bytes and distance": Score(1, 1, 1),
    "cost by bytes": Score(1, 1, 0),
    "distance": Score(0, 0, 1),
    "bytes": Score(0, 1, 0),
}


class _GiveUpError(Exception):
    """The walk does not end, runs out of time, or needs an op that cannot be recomputed."""


@dataclass
class _Walk:
    graph: Graph
    order: Sequence[int]
    budget: int
    score: Score
    deadline: Deadline | None = None
    flag: np.ndarray | None = None
    held: dict[int, None] = field(default_factory=dict)  # in order of arrival, so that nothing depends on hashes
    live: int = 0
    schedule: list[int] = field(default_factory=list)
    now: int = 0

    def __post_init__(self) -> None:
        graph = self.graph
        place = {op: step for step, op in enumerate(self.order)}
        self.reads_at: list[list[int]] = [sorted(place[r] for r in graph.readers[t]) for t in range(len(graph.tensors))]
        for tensor in graph.returned:
            self.reads_at[tensor].append(len(self.order))
        for tensor, planned in enumerate(graph.planned):
            if planned and graph.producer[tensor] < 0 and self.reads_at[tensor]:
                self.hold(tensor)

    @property
    def stopped(self) -> bool:
        return (self.deadline is not None and self.deadline.passed) or (self.flag is not None and bool(self.flag[0]))

    def hold(self, tensor: int) -> None:
        if tensor not in self.held:
            self.held[tensor] = None
            self.live += self.graph.tensors[tensor].nbytes

    def drop(self, tensor: int) -> None:
        del self.held[tensor]
        self.live -= self.graph.tensors[tensor].nbytes

    def distance(self, tensor: int) -> int | None:
        """Number of steps of the order until the tensor is read; None if it is not read again."""
        at = self.reads_at[tensor]
        index = bisect_right(at, self.now - 1)
        return at[index] - self.now + 1 if index < len(at) else None

    def may_drop(self, tensor: int) -> bool:
        producer = self.graph.producer[tensor]
        return producer >= 0 and self.graph.ops[producer].recomputable

    def run(self, op: int, pinned: set[int]) -> None:
        """Run ``op`` after recomputing its missing inputs. ``pinned``: tensors needed by the callers."""
        if len(self.schedule) > _LONGEST * len(self.order) or self.stopped:
            raise _GiveUpError
        reads = self.graph.reads[op]
        mine = pinned | set(reads)
        for tensor in reads:
            if tensor not in self.held:
                producer = self.graph.producer[tensor]
                if producer < 0 or not self.graph.ops[producer].recomputable:
                    raise _GiveUpError
                self.run(producer, mine)
        writes = [t for t in self.graph.writes[op] if t not in self.held]
        self.make_room(sum(self.graph.tensors[t].nbytes for t in writes) + self.graph.ops[op].workspace, mine)
        self.schedule.append(op)
        for tensor in writes:
            self.hold(tensor)

    def make_room(self, nbytes: int, pinned: set[int]) -> None:
        over = self.live + nbytes - self.budget
        if over <= 0:
            return
        loose = [t for t in self.held if t not in pinned]
        for tensor in [t for t in loose if self.distance(t) is None]:
            self.drop(tensor)
        candidates = [t for t in loose if t in self.held and self.may_drop(t) and self.graph.tensors[t].nbytes]
        candidates.sort(key=lambda t: (self.rank(t), t))
        for tensor in candidates:
            if self.live + nbytes <= self.budget:
                return
            self.drop(tensor)

    def rank(self, tensor: int) -> float:
        cost = self.graph.ops[self.graph.producer[tensor]].cost
        return self.score.of(cost, self.graph.tensors[tensor].nbytes, self.distance(tensor) or 1)

    def forget(self, op: int) -> None:
        """Drop the tensors of ``op`` that nothing later in the order reads."""
        for tensor in (*self.graph.reads[op], *self.graph.writes[op]):
            if tensor in self.held and self.distance(tensor) is None:
                self.drop(tensor)


def evicting_schedule(
    graph: Graph,
    order: Sequence[int],
    budget_nbytes: int,
    score: Score,
    deadline: Deadline | None = None,
    flag: np.ndarray | None = None,
) -> tuple[int, ...] | None:
    """Build a schedule that aims to stay within the budget; its peak may still exceed it.

    Returns None if the walk did not end, or did not end before ``deadline`` passed or ``flag[0]`` was set.
    O(runs · storages held · log). The walk counts plain bytes; the caller must evaluate views, in-place pairs and exact
    lifetimes of the result.
    """
    walk = _Walk(graph, order, budget_nbytes, score, deadline, flag)
    try:
        for op in order:
            walk.run(op, set())
            walk.now += 1
            walk.forget(op)
        returned = set(graph.returned)
        for tensor in graph.returned:
            if tensor not in walk.held and graph.producer[tensor] >= 0:
                walk.run(graph.producer[tensor], returned)
    except (_GiveUpError, RecursionError):
        return None
    return tuple(walk.schedule)
