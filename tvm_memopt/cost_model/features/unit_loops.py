"""Remove loops of extent 1 from graphs. Tiling leaves many of them, and they cost nothing."""

from __future__ import annotations

import numpy as np

from tvm_memopt.cost_model.features.columns import LOOP
from tvm_memopt.cost_model.features.extract import EdgeType, Graphs

_CONTAINS, _NESTS = ("loop", "contains", "statement"), ("loop", "nests", "loop")


def without_unit_loops(graphs: Graphs) -> Graphs:
    """Remove loops of extent 1 from graphs of raw values. Their contents move to the next enclosing loop."""
    loops = graphs.nodes["loop"]
    kept = loops[:, LOOP.index("extent")] > 1
    number = np.cumsum(kept, dtype=np.int64) - 1
    nests, owners = _nests(graphs, kept)
    contains = kept[graphs.edges[_CONTAINS][0]]
    statement_graph = graphs.graph_of("statement")
    edges: dict[EdgeType, np.ndarray] = dict(graphs.edges)
    values, starts = dict(graphs.edge_values), dict(graphs.edge_starts)
    loop_end, statement_end = graphs.edges[_CONTAINS][:, contains]
    edges[_CONTAINS] = np.stack([number[loop_end], statement_end]).astype(np.int32)
    values[_CONTAINS] = graphs.edge_values[_CONTAINS][contains]
    starts[_CONTAINS] = _starts(statement_graph[statement_end], len(graphs))
    edges[_NESTS] = number[nests].astype(np.int32)
    values[_NESTS] = np.zeros((nests.shape[1], 0), loops.dtype)
    starts[_NESTS] = _starts(owners, len(graphs))
    node_starts = {**graphs.node_starts, "loop": _starts(graphs.graph_of("loop")[kept], len(graphs))}
    return Graphs({**graphs.nodes, "loop": loops[kept]}, node_starts, edges, values, starts)


def _nests(graphs: Graphs, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kept loops with their nearest kept enclosing loop, [2, edges], and the graph of each pair."""
    outer, inner = graphs.edges[_NESTS]
    parent = np.full(len(kept) + 1, -1, np.int64)  # the last entry is "none", which is its own parent
    parent[inner] = outer
    while True:
        passed = (parent >= 0) & ~np.append(kept, True)[parent]
        if not passed.any():
            break
        parent[passed] = parent[parent[passed]]
    child = np.flatnonzero(kept & (parent[:-1] >= 0))
    return np.stack([parent[child], child]), graphs.graph_of("loop")[child]


def _starts(owners: np.ndarray, count: int) -> np.ndarray:
    """The first row of each graph. ``owners``: the graph of each row, ascending."""
    return np.searchsorted(owners, np.arange(count + 1)).astype(np.int64)
