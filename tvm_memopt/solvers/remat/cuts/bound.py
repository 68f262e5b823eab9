"""A lower bound on the cost of repeats under a budget: a minimum cut at one op's first run, with a price on memory.

Take any schedule and the first run of op x. By then its ancestors have run, and none of its descendants has. A tensor
that an ancestor writes and that a descendant reads, or that is returned, is live at that step, or the ancestor runs
again. The live bytes, including those that x touches, are at most the budget. For every price p >= 0 per byte,

    min (cost of ancestors that run again + p * bytes of live tensors) - p * (budget - bytes that x touches)

is therefore at most the cost of the repeats. The minimum is a minimum cut. Ops that are neither ancestors nor
descendants count as free to run later. Unlike the price bound on orders, this bound needs no bound on an order, and it
is tight if one step divides the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph, live_profile
from tvm_memopt.graph.liveness import best_sharing
from tvm_memopt.solvers.remat.cuts.division import widest_step
from tvm_memopt.solvers.request import Deadline

_UNITS = 2**36  # cost units of the cost with every op once
_INFINITE = 2**50
_BESIDE = (0, -1, 1, 2)  # ops tried, relative to the widest step of an order
_FULLEST = 12  # ops tried besides: at the fullest steps of the order
_CUTS = 16  # prices tried for each op
_TOLERANCE = 1e-9  # relative to the cost and to p * budget, which are sums of doubles


@dataclass(frozen=True)
class _Cut:
    """The minimum cut at a price: ``value`` is a cost, ``held`` the bytes kept."""

    value: float
    held: float


class CutBound:
    """The lower bound from the first run of ``op``."""

    def __init__(self, graph: Graph, op: int, budget_nbytes: int) -> None:
        self.unit = (graph.base_cost or 1.0) / _UNITS
        self.scale = graph.base_cost
        before, after = _reached(graph.predecessors, op), _reached(graph.successors, op)
        touched = {*graph.reads[op], *graph.writes[op]}
        self.ops = [o for o in range(len(graph.ops)) if o not in after and o != op]
        self.tensors = [t for o in self.ops for t in graph.writes[o]]
        number = {tensor: index for index, tensor in enumerate(self.tensors)}
        place = {o: index for index, o in enumerate(self.ops)}
        late = [t for o in sorted(after) for t in graph.reads[o]]
        wanted = dict.fromkeys([*late, *sorted(graph.returned)])
        inputs = [t for t in wanted if graph.producer[t] < 0 and graph.planned[t] and t not in touched]
        self.room = budget_nbytes - _own_bytes(graph, op) - sum(graph.tensors[t].nbytes for t in inputs)
        self.wanted = np.array([number[t] for t in wanted if t in number], np.int64)
        self.nbytes = np.array([0 if t in touched else graph.tensors[t].nbytes for t in self.tensors], np.float64)
        costs = [_cost(graph, o, o in before) / self.unit for o in self.ops]
        self.costs = np.minimum(np.array(costs), _INFINITE).astype(np.int64)
        self.made_at = np.array([place[graph.producer[t]] for t in self.tensors], np.int64)
        pairs = [(place[o], number[t]) for o in self.ops for t in graph.reads[o] if t in number]
        self.reader, self.read = np.array(pairs, np.int64).reshape(-1, 2).T

    def at(self, price: float) -> _Cut:
        """The minimum cut at ``price`` per byte."""
        from ortools.graph.python import max_flow

        tensors, ops = 2 + np.arange(len(self.tensors)), 2 + len(self.tensors) + np.arange(len(self.ops))
        keep = np.minimum(price * self.nbytes / self.unit, _INFINITE - 1).astype(np.int64)
        tails = [np.zeros(len(self.wanted), np.int64), tensors, ops, ops[self.reader]]
        heads = [tensors[self.wanted], ops[self.made_at], np.ones(len(ops), np.int64), tensors[self.read]]
        endless = [np.full(len(row), _INFINITE) for row in (self.wanted, self.reader)]
        flow = max_flow.SimpleMaxFlow()
        capacities = np.concatenate([endless[0], keep, self.costs, endless[1]])
        flow.add_arcs_with_capacity(np.concatenate(tails), np.concatenate(heads), capacities)
        if flow.solve(0, 1) != flow.OPTIMAL:
            return _Cut(0.0, 0.0)
        side = np.zeros(2 + len(self.tensors) + len(self.ops), bool)
        side[flow.get_source_side_min_cut()] = True
        held = self.nbytes[side[tensors] & ~side[ops[self.made_at]]].sum()
        return _Cut(flow.optimal_flow() * self.unit, float(held))

    def best(self, most_price: float, deadline: Deadline) -> float:
        """The best bound for prices from 0 to ``most_price``, by search in ratios towards where the held bytes fit."""
        best, low, high = 0.0, most_price * 2.0**-24, most_price
        for _ in range(_CUTS):
            if deadline.passed:
                break
            price = (low * high) ** 0.5
            cut = self.at(price)
            shown = cut.value - price * self.room
            best = max(best, shown - _TOLERANCE * (self.scale + abs(price * self.room)))
            low, high = (price, high) if cut.held > self.room else (low, price)
        return best


def bound_by_cuts(graph: Graph, order: Sequence[int], budget_nbytes: int, deadline: Deadline) -> float:
    """Return a lower bound on the total cost of repeats of any schedule within the budget; 0 if none is found.

    The ops tried are those around the widest step of ``order`` and those of its fullest steps.
    """
    total = sum(tensor.nbytes for tensor in graph.tensors)
    if not total or not graph.base_cost:
        return 0.0
    most = 2.0**12 * graph.base_cost / total
    best = 0.0
    for place in _places(graph, order):
        if deadline.passed:
            break
        best = max(best, CutBound(graph, order[place], budget_nbytes).best(most, deadline))
    return best


def _places(graph: Graph, order: Sequence[int]) -> list[int]:
    step, held = widest_step(graph, order), live_profile(graph, order)
    fullest = sorted(range(len(order)), key=lambda place: -held[place])[:_FULLEST]
    beside = [step + offset for offset in _BESIDE if 0 <= step + offset < len(order)]
    return list(dict.fromkeys([*beside, *fullest]))


def _cost(graph: Graph, op: int, again: bool) -> float:
    """Cost of a run after the first run of x. ``again``: every schedule runs the op before that."""
    if not again:
        return 0.0
    return graph.ops[op].cost if graph.ops[op].recomputable else np.inf


def _reached(neighbours: Sequence[Sequence[int]], op: int) -> set[int]:
    found, front = set(neighbours[op]), list(neighbours[op])
    while front:
        new = set(neighbours[front.pop()]) - found
        found |= new
        front += new
    return found


def _own_bytes(graph: Graph, op: int) -> int:
    """Bytes the op touches, minus the most that in-place pairs can share."""
    shared = [(pair.source, pair.target, pair.weight) for pair in graph.sharing[op]]
    touched = {*graph.reads[op], *graph.writes[op]}
    total = sum(graph.tensors[t].nbytes for t in touched) + graph.ops[op].workspace
    return total - (best_sharing(shared) if shared else 0)
