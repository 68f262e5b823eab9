"""An order divided at one step. Early tensors read in the late part are kept across the step or recomputed.

In a training step, the early part is the forward pass and the late part the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph


class Division:
    """``order`` divided before ``step``, as arrays over the early ops, indexed by position in the order, and over the
    planned tensors that they write, numbered in the order in which they are written."""

    def __init__(self, graph: Graph, order: Sequence[int], step: int) -> None:
        self.graph, self.order, self.step = graph, tuple(order), step
        place = {op: at for at, op in enumerate(self.order)}
        self.tensors = [t for op in self.order[:step] for t in graph.writes[op]]
        self.number = {tensor: index for index, tensor in enumerate(self.tensors)}
        self.reads = [[self.number[t] for t in graph.reads[op] if t in self.number] for op in self.order]
        self.writes = [[self.number[t] for t in graph.writes[op]] for op in self.order[:step]]
        self.made_at = np.array([place[graph.producer[t]] for t in self.tensors], np.int64)
        self.nbytes = np.array([graph.tensors[t].nbytes for t in self.tensors], np.float64)
        uses = [sorted(place[reader] for reader in graph.readers[t]) for t in self.tensors]
        for tensor, at in zip(self.tensors, uses, strict=True):
            if tensor in graph.returned:
                at.append(len(self.order))
        early = [[use for use in at if use < step] for at in uses]
        late = [[use for use in at if use >= step] for at in uses]
        self.last_early = np.array([max(at, default=-1) for at in early], np.int64)
        self.last_early = np.maximum(self.last_early, self.made_at)
        self.first_late = np.array([min(at, default=self.never) for at in late], np.int64)
        self.last_late = np.array([max(at, default=-1) for at in late], np.int64)

    @property
    def never(self) -> int:
        """Stands for a read that never comes. A returned tensor is read at ``len(order)``."""
        return len(self.order) + 1

    @property
    def wanted(self) -> np.ndarray:
        """For each tensor: whether the late part reads it, or it is returned."""
        return self.first_late < self.never


@dataclass(frozen=True)
class LazySchedule:
    """``steps``, with the position in the order of each; for each tensor, its ``first`` and ``last`` late read."""

    steps: tuple[int, ...]
    places: np.ndarray
    first: np.ndarray
    last: np.ndarray


def lazy_schedule(division: Division, again: set[int]) -> LazySchedule:
    """The order, with the early ops at positions ``again`` run once more, right before the first late read of their
    outputs by the order or by another repeat. Outputs that nobody reads are not recomputed. O(edges)."""
    builder = _Builder(division, set(again))
    end = len(division.order)
    for place in range(division.step, end):
        builder.want(place, division.reads[place])
        builder.put(place, place)
    builder.want(end, [division.number[t] for t in sorted(division.graph.returned) if t in division.number])
    places = np.minimum(np.array(builder.places, np.int64), end - 1)
    return LazySchedule(tuple(builder.steps), places, np.array(builder.first), np.array(builder.last))


class _Builder:
    def __init__(self, division: Division, waiting: set[int]) -> None:
        self.division, self.waiting = division, waiting
        self.steps = list(division.order[: division.step])
        self.places = list(range(division.step))
        self.first, self.last = division.first_late.tolist(), division.last_late.tolist()
        self.made_at: list[int] = division.made_at.tolist()

    def put(self, at: int, now: int) -> None:
        self.steps.append(self.division.order[at])
        self.places.append(now)

    def want(self, now: int, tensors: Sequence[int]) -> None:
        """Recompute what ``tensors`` depend on, depth first. Without recursion, since chains can be long."""
        stack: list[tuple[int, Iterator[int]]] = [(-1, iter(tensors))]
        while stack:
            at, rest = stack[-1]
            deeper = next((made for tensor in rest if (made := self.read(now, tensor)) >= 0), None)
            if deeper is not None:
                stack.append((deeper, iter(self.division.reads[deeper])))
                continue
            stack.pop()
            if at >= 0:
                self.put(at, now)

    def read(self, now: int, tensor: int) -> int:
        """Position of the op that has to run again first, or -1."""
        self.first[tensor] = min(self.first[tensor], now)
        self.last[tensor] = max(self.last[tensor], now)
        made = self.made_at[tensor]
        if made not in self.waiting:
            return -1
        self.waiting.discard(made)
        return made


def widest_step(graph: Graph, order: Sequence[int]) -> int:
    """The best step to divide at: the one crossed by the most bytes that were written before it and are read after it.

    Tensors kept only for the caller do not count.
    """
    place = {op: at for at, op in enumerate(order)}
    change = np.zeros(len(order) + 1, np.int64)
    for tensor, planned in enumerate(graph.planned):
        if not planned or graph.producer[tensor] < 0:
            continue
        uses = [place[graph.producer[tensor]], *sorted(place[reader] for reader in graph.readers[tensor])]
        change[uses[0] + 1] += graph.tensors[tensor].nbytes
        change[uses[-1]] -= graph.tensors[tensor].nbytes
        for use in uses[1:-1]:
            change[use] -= graph.tensors[tensor].nbytes
            change[use + 1] += graph.tensors[tensor].nbytes
    return int(np.argmax(np.cumsum(change)))
