"""Packing of a graph into the flat arrays that ``native/order/problem.h`` reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native import vector

MAX_TOTAL_NBYTES = 2**62  # limit that keeps sums of bytes within 64 bits


@dataclass(frozen=True)
class PackedProblem:
    """``index`` (int32) and ``bytes`` (int64) in the layout of PackedProblem in problem.h; number of ``ops``."""

    index: np.ndarray
    bytes: np.ndarray
    ops: int


def packed_problem(graph: Graph) -> PackedProblem | None:
    """The ordering problem of ``graph``, or None if sums of bytes could exceed 2^62. O(edges).

    Freed tensors, which are planned, read and not returned, are numbered consecutively.
    """
    total = sum(tensor.nbytes for tensor in graph.tensors) + sum(op.workspace for op in graph.ops)
    if total > MAX_TOTAL_NBYTES:
        return None
    nbytes = np.array([tensor.nbytes for tensor in graph.tensors], np.int64)
    read = _flat(graph.reads)
    outlives = np.zeros(len(nbytes), bool)
    outlives[read] = True
    freed = outlives.copy()
    returned = list(graph.returned)
    outlives[returned] = True
    freed[returned] = False
    number = np.cumsum(freed) - 1
    number[~freed] = -1
    planned_inputs = np.array([t.kind != "activation" for t in graph.tensors], bool) & np.array(graph.planned, bool)
    inputs = nbytes[planned_inputs & outlives].sum(), nbytes[planned_inputs & ~outlives].sum()
    written = _sums(graph.writes, nbytes)
    workspace = np.array([op.workspace for op in graph.ops], np.int64)
    pairs = [_pairs(graph, op, number) for op in range(len(graph.ops))]
    index = [
        np.array([len(graph.ops), freed.sum()], np.int32),
        *_rows(graph.predecessors),
        *_kept_rows(graph.reads, read, number),
        *_rows([[t for source, target, _ in row for t in (source, target)] for row in pairs]),
        np.array(graph.producer, np.int32)[freed],
    ]
    sizes = [
        np.array(inputs, np.int64),
        nbytes[freed],
        written + workspace,
        _sums(graph.writes, np.where(outlives, nbytes, 0)),
        np.array([shared for row in pairs for _, _, shared in row], np.int64),
    ]
    return PackedProblem(np.concatenate(index).astype(np.int32), vector(np.concatenate(sizes)), len(graph.ops))


def _flat(rows: Iterable[Sequence[int]]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), np.int64)


def _starts(rows: Sequence[Sequence[int]]) -> np.ndarray:
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    return starts


def _rows(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """The start of each row, and the items of all rows."""
    return _starts(rows), _flat(rows)


def _kept_rows(rows: Sequence[Sequence[int]], flat: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows with each item replaced by its number, and items without a number removed."""
    numbered = number[flat]
    kept = np.concatenate([[0], np.cumsum(numbered >= 0)])
    return kept[_starts(rows)], numbered[numbered >= 0]


def _sums(rows: Sequence[Sequence[int]], values: np.ndarray) -> np.ndarray:
    totals = np.concatenate([[0], np.cumsum(values[_flat(rows)])])
    starts = _starts(rows)
    return vector(totals[starts[1:]] - totals[starts[:-1]])


def _pairs(graph: Graph, op: int, number: np.ndarray) -> list[tuple[int, int, int]]:
    """In-place pairs usable in some order. A returned input outlives every op, so it has no pair."""
    pairs = graph.sharing[op]
    return [(int(number[p.source]), p.target, p.weight) for p in pairs if number[p.source] >= 0]
