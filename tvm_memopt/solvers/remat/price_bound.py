"""A lower bound on the cost of repeats under a budget: a price on memory turns repeats into an ordering problem.

Let B be the budget, m the bytes of a storage, c its share of its producer's cost, and p >= 0 a price per byte. In any
schedule, look at the first run of op o. Consider a storage that exists by then, that o does not touch, and that the
first run of another op reads later or that is returned. Either it is live at that step, or its producer runs again. So

    sum of min(c, p·m) over those storages + p · (bytes that o touches) <= p·B + cost of the repeats.

The left side is the load of o's step in the order of first runs, in a graph whose storages weigh min(c, p·m). For every
p, the lowest peak of any order of that graph, minus p·B, is therefore a lower bound on the cost of the repeats. The
order search bounds that peak from below, and proves it if the search ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tvm_memopt.graph import Graph, Op
from tvm_memopt.graph.liveness import best_sharing
from tvm_memopt.graph.model import MAX_NBYTES, Inplace
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.order.search import search_order
from tvm_memopt.solvers.request import Deadline

_UNITS = 2**36  # units of weight of the cost with every op once
_DEAREST = 2**12  # times that, for all bytes at the price: beyond it, weights would overflow
_CHEAPEST = 2.0**-40  # relative to the highest price tried
_LEAST_COST = 1e-200  # of a graph; lower costs count as zero
_COARSE = 10  # prices tried first, in equal ratios
_FINE = 12  # most prices tried between the best one and its neighbours
_NEAR = 1.01  # prices within this ratio are not distinguished
_TOLERANCE = 1e-9  # relative to p·B and to the cost, which are sums of doubles


@dataclass(frozen=True)
class PriceBound:
    """``cost``: a lower bound on the cost of repeats within the budget. ``price``: the price per byte that gives it."""

    cost: float
    price: float


def bound_repeats(
    graph: Graph,
    budget_nbytes: int,
    *,
    seconds: float,
    seed: int = 0,
    threads: int = 1,
    flag: np.ndarray | None = None,
    start_orders: Sequence[Sequence[int]] = (),
) -> PriceBound:
    """Return the best bound found in ``seconds``; 0 at price 0 if none. Ends soon after ``flag[0]`` is set."""
    clock, flag = Deadline(seconds), np.zeros(1, np.int32) if flag is None else flag
    unit = graph.base_cost / _UNITS
    tried: dict[float, float] = {}

    def weigh(price: float, share: float) -> None:
        limit = min(clock.remaining, share * seconds)
        if limit <= 0 or flag[0]:
            return
        priced = priced_graph(graph, price, unit)
        found = search_order(priced, seconds=limit, seed=seed, threads=threads, flag=flag, start_orders=start_orders)
        paid = price * budget_nbytes
        tried[price] = found.bound * unit - paid - _TOLERANCE * (paid + graph.base_cost)

    for price in _coarse_prices(graph):
        weigh(price, time_shares.COARSE_PRICES)
    for _ in range(_FINE):
        between = _between(tried)
        if between is None:
            break
        weigh(between, time_shares.FINE_PRICES)
    best = max(tried, key=tried.__getitem__, default=0.0)
    return PriceBound(tried[best], best) if tried.get(best, 0.0) > 0 else PriceBound(0.0, 0.0)


def priced_graph(graph: Graph, price: float, unit: float) -> Graph:
    """``graph`` with weights instead of bytes, in units of ``unit`` of cost, rounded down.

    The step of an op holds min(c, p·m) for each storage that crosses it, and p·m for each that it touches.
    """
    full = [price * tensor.nbytes / unit for tensor in graph.tensors]
    weights = list(map(int, full))
    for op_id, op in enumerate(graph.ops):
        for tensor in graph.writes[op_id] if op.recomputable else ():
            weights[tensor] = int(min(full[tensor], op.cost / unit / len(graph.writes[op_id])))
    ops = []
    for op_id, op in enumerate(graph.ops):
        touched = {*graph.reads[op_id], *graph.writes[op_id]}
        own = price * op.workspace / unit + sum(full[t] - weights[t] for t in touched)
        workspace = max(0, int(own - _shared(graph, op_id, full, weights)))
        ops.append(replace(op, workspace=workspace, inplace=_without_distances(op)))
    tensors = tuple(replace(t, nbytes=w) for t, w in zip(graph.tensors, weights, strict=True))
    return replace(graph, tensors=tensors, ops=tuple(ops), alignment=1)


def _shared(graph: Graph, op_id: int, full: Sequence[float], weights: Sequence[int]) -> int:
    """The most by which in-place pairs of an op save more at full weight than at ``weights``."""
    pairs = graph.sharing[op_id]
    most = [math.ceil(min(full[p.source], full[p.target])) for p in pairs]
    if any(pair.distance is not None for pair in pairs):
        return sum(most)
    least = [min(weights[p.source], weights[p.target]) for p in pairs]
    saved = [(p.source, p.target, high - low) for p, high, low in zip(pairs, most, least, strict=True)]
    return best_sharing(saved) if saved else 0


def _without_distances(op: Op) -> tuple[Inplace, ...]:
    """The pairs of an op whose tensors have other sizes: they may overlap anywhere."""
    return tuple(pair if len(pair) == 2 else (pair[0], pair[1], -MAX_NBYTES) for pair in op.inplace)


def _coarse_prices(graph: Graph) -> list[float]:
    """Prices in equal ratios, from the lowest cost per byte of a storage to the highest."""
    ratios = [
        op.cost / len(graph.writes[op_id]) / graph.tensors[tensor].nbytes
        for op_id, op in enumerate(graph.ops)
        if op.recomputable and op.cost > 0
        for tensor in graph.writes[op_id]
        if graph.tensors[tensor].nbytes
    ]
    total = sum(t.nbytes for t in graph.tensors) + sum(op.workspace for op in graph.ops)
    if not ratios or not total or graph.base_cost < _LEAST_COST:
        return []
    most = min(max(ratios), _DEAREST * graph.base_cost / total)
    least = min(max(min(ratios), most * _CHEAPEST), most)
    steps = _COARSE - 1 if most > least else 0
    return [least * (most / least) ** (i / max(1, steps)) for i in range(steps + 1)]


def _between(values: Mapping[float, float]) -> float | None:
    """The geometric mean of the best price and the better of its neighbours that are not near it.

    ``values``: the bound found at each price. None if both neighbours are near, or if no bound is above 0.
    """
    prices = sorted(values)
    best = max(prices, key=values.__getitem__, default=0.0)
    if values.get(best, 0.0) <= 0:
        return None
    at = prices.index(best)
    sides = [side for side in prices[max(0, at - 1) : at + 2] if max(side, best) > _NEAR * min(side, best)]
    return math.sqrt(best) * math.sqrt(max(sides, key=values.__getitem__)) if sides else None
