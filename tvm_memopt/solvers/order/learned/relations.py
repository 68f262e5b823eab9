"""The order-theoretic relations between ops that the network attends along.

Seven relations partition the ordered pairs of ops (Gagrani et al. 2022): edges of the transitive reduction, edges made
redundant by another path, and pairs of the transitive closure that are not edges, each forwards and backwards; and
incomparable pairs. The first four are sparse and stored as lists. The closure is stored as one bit per pair, and the
network multiplies by it in slices of rows. Incomparable pairs are the rest. For 10,000 ops, the bits take 12 MB and a
slice 40 MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native.order import learned as native
from tvm_memopt.solvers.native.order.problem import PackedProblem

_SLICE = 1024  # rows of the closure unpacked at once


@dataclass(frozen=True)
class Relations:
    """The relations of a graph.

    ``sources``, ``targets``: the edges, sorted by target; ``redundant`` marks those made redundant by another path.
    ``ancestors``: for each op a row of 64-bit words; bit u of row v is set if u runs before v in every order.
    ``forced``: for each op, bytes live at its step in every order, without in-place sharing.
    """

    sources: np.ndarray
    targets: np.ndarray
    redundant: np.ndarray
    ancestors: np.ndarray
    forced: np.ndarray

    @property
    def ops(self) -> int:
        """Number of ops."""
        return len(self.ancestors)

    def rows(self, first: int, last: int) -> np.ndarray:
        """Rows ``first`` to ``last`` - 1 of the ancestor matrix, as 0.0 and 1.0 (float32)."""
        as_bytes = self.ancestors[first:last].astype("<u8").view(np.uint8)
        return np.unpackbits(as_bytes, axis=1, count=self.ops, bitorder="little").astype(np.float32)

    def slices(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """(first, last, rows) over the whole matrix."""
        for first in range(0, self.ops, _SLICE):
            last = min(first + _SLICE, self.ops)
            yield first, last, self.rows(first, last)


def relations_of(graph: Graph, problem: PackedProblem | None) -> Relations:
    """Compute the relations of ``graph``; in plain Python if ``problem`` is None."""
    counts = [len(before) for before in graph.predecessors]
    sources = np.array([p for before in graph.predecessors for p in before], np.int64)
    targets = np.repeat(np.arange(len(counts)), counts)
    if problem is not None:
        return Relations(sources, targets, *_swapped(*native.relations(problem, len(sources))))
    return Relations(sources, targets, *_swapped(*plain_relations(graph)))


def _swapped(ancestors: np.ndarray, redundant: np.ndarray, forced: np.ndarray) -> tuple[np.ndarray, ...]:
    return redundant, ancestors, forced


def plain_relations(graph: Graph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reference implementation of native.order.learned.relations, with Python integers as bit sets."""
    n = len(graph.ops)
    ancestors, redundant = [0] * n, []
    for op, before in enumerate(graph.predecessors):
        covered = {}
        for p in reversed(before):  # the latest first: the predecessors it covers are redundant
            covered[p] = bool(ancestors[op] >> p & 1)
            if not covered[p]:
                ancestors[op] |= ancestors[p] | 1 << p
        redundant += [covered[p] for p in before]
    descendants = [sum(1 << v for v in range(n) if ancestors[v] >> u & 1) for u in range(n)]
    words = (n + 63) // 64
    packed = b"".join(row.to_bytes(8 * words, "little") for row in ancestors)
    rows = np.frombuffer(packed, "<u8").reshape(n, words).astype(np.uint64)
    forced = np.array(_forced(graph, ancestors, descendants), np.int64)
    return rows, np.array(redundant, bool), forced


def _forced(graph: Graph, ancestors: list[int], descendants: list[int]) -> list[int]:
    nbytes = [tensor.nbytes for tensor in graph.tensors]
    forced = [op.workspace + sum(nbytes[t] for t in w) for op, w in zip(graph.ops, graph.writes, strict=True)]
    for tensor, readers in enumerate(graph.readers):
        if not readers or tensor in graph.returned:
            continue
        steps = 0
        for reader in readers:
            steps |= ancestors[reader] | 1 << reader
        if (producer := graph.producer[tensor]) >= 0:
            steps &= descendants[producer]
        for op in range(len(graph.ops)):
            forced[op] += nbytes[tensor] * (steps >> op & 1)
    return forced
