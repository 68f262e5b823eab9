"""Input features of the network for each op, all free of scale: sizes, position in the graph, and classical orders.

Priorities alone cannot express what a good choice depends on: the live tensors at that time. Part of this is known in
advance: the bytes that are live in every order when the op runs, and the step and live bytes at which each classical
order runs it. FEATURES lists the columns.
"""

from __future__ import annotations

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native import order as native
from tvm_memopt.solvers.native.order.problem import PackedProblem
from tvm_memopt.solvers.order.learned.laplacian import laplacian_encoding
from tvm_memopt.solvers.order.learned.post_order import post_order
from tvm_memopt.solvers.order.learned.relations import Relations
from tvm_memopt.solvers.order.live_state import memory_tables

LAPLACIAN_WIDTH = 8
_CONSTRUCTIONS = tuple(how for how in native.Construction if how is not native.Construction.RANDOM)
_ORDERS = (*(how.name.lower() for how in _CONSTRUCTIONS), "post_order_first", "post_order_last")
_OWN = (
    "kept bytes", "held bytes", "input bytes", "input bytes over readers", "bytes it alone reads",
    "log predecessors", "log successors", "depth", "height", "slack", "ancestors", "descendants", "incomparable",
    "forced bytes", "reach of its readers", "reach of its inputs",
)  # fmt: skip
FEATURES = (
    *_OWN,
    *(f"{order} {what}" for order in _ORDERS for what in ("step", "held bytes")),
    *(f"laplacian {k}" for k in range(LAPLACIAN_WIDTH)),
)
"""Names of the columns."""


def node_features(graph: Graph, problem: PackedProblem, relations: Relations) -> np.ndarray:
    """Return (ops x FEATURES) float32."""
    n = len(graph.ops)
    depth, height = _levels(relations)
    own = _own_features(graph, relations, depth, height)
    columns = [*own, *_order_features(graph, problem)]
    encoding = laplacian_encoding(relations.sources, relations.targets, depth.astype(np.float64), LAPLACIAN_WIDTH)
    return np.concatenate([np.stack(columns, axis=1) if n else np.zeros((0, len(columns))), encoding], axis=1).astype(
        np.float32
    )


def _own_features(graph: Graph, relations: Relations, depth: np.ndarray, height: np.ndarray) -> list[np.ndarray]:
    tables = memory_tables(graph)
    n = len(graph.ops)
    nbytes = np.array(tables.nbytes, np.float64)
    kept, held = np.array(tables.kept, np.float64), np.array(tables.transient, np.float64)
    unit = max(1.0, kept.sum() / max(1, n))
    readers = np.array([len(r) for r in graph.readers], np.float64)
    frees = [list(row) for row in tables.frees]
    inputs = np.array([nbytes[row].sum() for row in frees])
    shared = np.array([(nbytes[row] / readers[row]).sum() for row in frees])
    alone = np.array([nbytes[[t for t in row if readers[t] == 1]].sum() for row in frees])
    longest = max(1.0, float((depth + height).max(initial=0)))
    ancestors, descendants = np.zeros(n), np.zeros(n)
    for first, last, rows in relations.slices():
        ancestors[first:last] = rows.sum(axis=1)
        descendants += rows.sum(axis=0)
    last_reader, first_source = depth.copy(), depth.copy()
    np.maximum.at(last_reader, relations.sources, depth[relations.targets])
    np.minimum.at(first_source, relations.targets, depth[relations.sources])
    return [
        *(np.arcsinh(x / unit) for x in (kept, held, inputs, shared, alone)),
        np.log1p(np.bincount(relations.targets, minlength=n)),
        np.log1p(np.bincount(relations.sources, minlength=n)),
        depth / longest,
        height / longest,
        1 - (depth + height) / longest,
        ancestors / n,
        descendants / n,
        1 - (ancestors + descendants + 1) / n,
        relations.forced / max(1.0, float(relations.forced.max(initial=0))),
        (last_reader - depth) / longest,
        (depth - first_source) / longest,
    ]


def _levels(relations: Relations) -> tuple[np.ndarray, np.ndarray]:
    """For each op: number of edges of the longest path to it, and from it."""
    depth, height = [0] * relations.ops, [0] * relations.ops
    edges = list(zip(relations.sources.tolist(), relations.targets.tolist(), strict=True))
    for source, target in edges:
        depth[target] = max(depth[target], depth[source] + 1)
    for source, target in reversed(edges):
        height[source] = max(height[source], height[target] + 1)
    return np.array(depth, np.float64), np.array(height, np.float64)


def _order_features(graph: Graph, problem: PackedProblem) -> list[np.ndarray]:
    """For each classical order: the step of each op, and the bytes live at it, as fractions of their largest values."""
    orders = [native.construct(problem, how)[0] for how in _CONSTRUCTIONS]
    orders += [native.order_vector(post_order(graph, last_first=last)) for last in (False, True)]
    columns = []
    for order in orders:
        held = native.profile(problem, order).astype(np.float64)
        step, at_step = np.zeros(len(order)), np.zeros(len(order))
        step[order] = np.arange(len(order)) / len(order)
        at_step[order] = held / max(1.0, float(held.max(initial=0)))
        columns += [step, at_step]
    return columns
