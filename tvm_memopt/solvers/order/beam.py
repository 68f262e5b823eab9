"""Beam search over downsets: exact while the beam is wide enough, a strong heuristic otherwise."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.order.downsets import (
    Space,
    State,
    downset_space,
    make_safe_moves,
    room_under,
    root_state,
    successor,
)
from tvm_memopt.solvers.request import Deadline


@dataclass(frozen=True)
class BeamResult:
    """Result of a beam search.

    ``order``: an order that beats the incumbent, or None. ``peak_nbytes``: the best known peak in either case.
    ``proved``: whether no order has a smaller peak.
    """

    order: tuple[int, ...] | None
    peak_nbytes: int
    proved: bool


def beam_search(
    graph: Graph,
    width: int,
    deadline: Deadline,
    incumbent_peak: int,
    *,
    safe_moves: bool = True,
    space: Space | None = None,
) -> BeamResult:
    """Search for orders with a peak below ``incumbent_peak``, keeping at most ``width`` executed sets per level.

    The target is one byte below the best known peak. An exhaustive search is repeated with the new target until it
    finds nothing, which proves optimality. A truncated search returns the best order found.
    """
    space = space or downset_space(graph)
    result = BeamResult(None, incumbent_peak, False)
    while not result.proved:
        order, peak, exhausted = _order_within(space, result.peak_nbytes - 1, width, deadline, safe_moves)
        if order is not None:
            result = BeamResult(order, peak, False)
        if not exhausted:
            break
        result = BeamResult(result.order, result.peak_nbytes, order is None)
    return result


@dataclass
class _Levels:
    """States by number of executed ops, the best ``width`` of each number. States of equal executed sets are merged."""

    width: int
    pools: list[dict[int, State]]
    truncated: bool = False
    seen: set[int] = field(default_factory=set)

    def add(self, state: State) -> None:
        pool = self.pools[state.steps]
        known = pool.get(state.left)
        if known is None or state.peak < known.peak:
            pool[state.left] = state
        if len(pool) > 2 * self.width:  # these would be cut later anyway; cutting now bounds the memory
            self.pools[state.steps] = {s.left: s for s in self._best(pool)}

    def take(self, level: int) -> list[State]:
        """Remove and return the states of ``level``, the best ``width`` of them."""
        pool, self.pools[level] = self.pools[level], {}
        self.seen.clear()
        return self._best(pool)

    def _best(self, pool: dict[int, State]) -> list[State]:
        if len(pool) <= self.width:
            return list(pool.values())
        self.truncated = True
        return heapq.nsmallest(self.width, pool.values(), key=_rank)


def _order_within(
    space: Space, target: int, width: int, deadline: Deadline, safe_moves: bool
) -> tuple[tuple[int, ...] | None, int, bool]:
    """(order within ``target`` or None, its peak, whether the search was exhaustive)."""
    levels = _Levels(width, [{} for _ in range(space.size + 1)])
    root = root_state(space)
    if safe_moves:
        make_safe_moves(space, root, target)
    levels.add(root)
    for level in range(space.size):
        for state in levels.take(level):
            if deadline.passed:
                return None, 0, False
            _expand(space, state, target, levels, safe_moves)
    complete = [state for state in levels.pools[-1].values() if state.peak <= target]  # no op: no step was tested
    best = min(complete, key=lambda state: state.peak, default=None)
    return (best.order(), best.peak, not levels.truncated) if best else (None, 0, not levels.truncated)


def _rank(state: State) -> tuple[int, int]:
    # Under a target, the peak so far says little about the rest; the current live bytes say more.
    return state.live, state.peak


def _expand(space: Space, state: State, target: int, levels: _Levels, safe_moves: bool) -> None:
    room = room_under(space, state, target)
    for op, (extra, _) in state.ready.items():
        left = state.left ^ (1 << op)
        if extra > room or left in levels.seen:
            continue
        levels.seen.add(left)
        child = successor(space, state, op)
        if safe_moves:
            make_safe_moves(space, child, target)
        levels.add(child)
