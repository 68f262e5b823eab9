"""Training graphs, with everything that does not change while the network does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvm_memopt.atomic import atomic_path
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, graph_to_json, layered_graph, peak_live
from tvm_memopt.solvers.native.order.problem import PackedProblem, packed_problem
from tvm_memopt.solvers.order.learned.features import node_features
from tvm_memopt.solvers.order.learned.neighbourhoods import Neighbourhoods, neighbourhoods
from tvm_memopt.solvers.order.learned.relations import relations_of
from tvm_memopt.solvers.order.search import search_order

FIRST_TRAINING_SEED = 1_000_000
"""First seed of the layered training graphs, chosen so that they never coincide with those of benchmarks."""
FIRST_VALIDATION_SEED = 500_000
"""First seed of the layered graphs that select the best checkpoint."""
SIZE_CYCLE = (500, 250, 500, 350, 500, 1000)
"""Sizes of the layered training graphs, used in turn."""
_SECONDS_PER_OP = 0.004  # of search for a good order


@dataclass(frozen=True)
class Example:
    """A graph as the network and the policy see it, and a good order of known peak, to imitate and to compare with."""

    name: str
    problem: PackedProblem
    features: np.ndarray
    around: Neighbourhoods
    order: np.ndarray
    peak: int


def training_graph(index: int) -> Graph:
    """Layered training graph number ``index``."""
    return layered_graph(SIZE_CYCLE[index % len(SIZE_CYCLE)], seed=FIRST_TRAINING_SEED + index)


def validation_graph(index: int) -> Graph:
    """Layered validation graph number ``index``: two of 500 ops, then one of 1000."""
    return layered_graph(1000 if index % 3 == 2 else 500, seed=FIRST_VALIDATION_SEED + index)


def make_examples(
    graphs: Iterable[Graph], targets: Path, *, effort: float = 1.0, watch: Callable[[int], None] | None = None
) -> list[Example]:
    """Return examples with good orders from the native search. The folder ``targets`` caches these orders.

    ``effort``: scales the search time, which is 4 ms per op on one thread. ``watch(done)``: called after each example.
    """
    examples = []
    for graph in graphs:
        problem = packed_problem(graph)
        if problem is None or not graph.ops:
            raise MemoptError(f"graph {graph.name!r}: cannot train on it: no op, or sums of bytes above 2^62")
        order = _good_order(graph, targets, effort * _SECONDS_PER_OP * len(graph.ops))
        examples.append(_example(graph, problem, order))
        if watch is not None:
            watch(len(examples))
    return examples


def _example(graph: Graph, problem: PackedProblem, order: Sequence[int]) -> Example:
    relations = relations_of(graph, problem)
    features = node_features(graph, problem, relations)
    vector = np.array(order, np.int32)
    return Example(graph.name, problem, features, neighbourhoods(relations), vector, peak_live(graph, order))


def _good_order(graph: Graph, targets: Path, seconds: float) -> list[int]:
    file = targets / f"{_digest(graph)}.npy"
    if file.exists():
        try:
            kept: list[int] = np.load(file, allow_pickle=False).tolist()
            if sorted(kept) == list(range(len(graph.ops))) and peak_live(graph, kept) >= 0:
                return kept
        except (OSError, ValueError, TypeError, EOFError, MemoptError):
            pass  # a damaged file is recomputed
    found = search_order(graph, seconds=seconds, threads=1)
    targets.mkdir(parents=True, exist_ok=True)  # not before a graph was read
    with atomic_path(file) as temporary, temporary.open("wb") as sink:
        np.save(sink, np.array(found.order, np.int32), allow_pickle=False)
        sink.flush()
        os.fsync(sink.fileno())
    return list(found.order)


def _digest(graph: Graph) -> str:
    """A hash of the contents of the graph, as a file name."""
    return hashlib.sha256(repr(graph_to_json(graph)).encode()).hexdigest()[:24]
