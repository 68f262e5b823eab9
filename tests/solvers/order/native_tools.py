"""Shared by the tests of the native ordering: skip without the library, plain twins, and graphs that use everything."""

import random
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.graph.strategies import random_schedule
from tests.solvers.strategies import SEEDS
from tvm_memopt.graph import Graph, random_graph
from tvm_memopt.solvers.native.order import Window


def rich_graphs(max_ops: int = 9, min_ops: int = 1) -> st.SearchStrategy[Graph]:
    """Views, in-place pairs (several an op), workspaces, dead outputs, returned tensors, arena inputs."""
    return st.builds(
        lambda n, seed, inplace: random_graph(n, seed=seed, inplace=inplace, max_nbytes=100),
        st.integers(min_ops, max_ops),
        SEEDS,
        st.sampled_from((0.0, 0.4, 0.8)),
    )


def some_order(graph: Graph, seed: int) -> tuple[int, ...]:
    return tuple(random_schedule(graph, random.Random(seed)))


def whole(graph: Graph) -> Window:
    return Window(0, len(graph.ops))


def assert_valid(graph: Graph, order: Sequence[int]) -> None:
    assert sorted(order) == list(range(len(graph.ops)))
    step = {op: index for index, op in enumerate(order)}
    assert all(step[p] < step[op] for op, before in enumerate(graph.predecessors) for p in before)
