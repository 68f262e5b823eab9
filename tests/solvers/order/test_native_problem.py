from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings

from tests.solvers.order.native_tools import assert_valid, rich_graphs, some_order, whole
from tests.solvers.strategies import SEEDS, chain, diamond
from tvm_memopt.graph import Graph, Op, Tensor, layered_graph, live_profile, peak_live
from tvm_memopt.solvers.native import order as native
from tvm_memopt.solvers.native.order import Construction
from tvm_memopt.solvers.native.order.problem import packed_problem
from tvm_memopt.solvers.order import dfs, greedy_delta, greedy_peak, kahn

TWINS = {
    Construction.KAHN: kahn,
    Construction.DFS: dfs,
    Construction.GREEDY_PEAK: greedy_peak,
    Construction.GREEDY_DELTA: greedy_delta,
}


@given(rich_graphs(max_ops=30), SEEDS)
@settings(max_examples=150, deadline=None)
def test_native_profile_is_the_definition_of_liveness(graph: Graph, seed: int) -> None:
    order = some_order(graph, seed)
    problem = packed_problem(graph)
    assert problem is not None
    assert native.profile(problem, native.order_vector(order)).tolist() == live_profile(graph, order)


def test_many_pairs_of_one_op_share_by_the_best_matching() -> None:
    tensors = tuple(Tensor(f"t{i}", size) for i, size in enumerate((50, 40, 30, 20, 45, 35, 25)))
    pairs = tuple((a, b) for a in range(4) for b in range(4, 7))
    ops = (*(Op(f"make{i}", (), (i,)) for i in range(4)), Op("mix", (0, 1, 2, 3), (4, 5, 6), inplace=pairs))
    graph = Graph("mix", tensors, ops, (4, 5, 6))
    problem = packed_problem(graph)
    assert problem is not None
    order = native.order_vector(range(5))
    assert native.profile(problem, order).tolist() == live_profile(graph, range(5))


@given(rich_graphs(max_ops=25))
@settings(max_examples=100, deadline=None)
def test_native_constructions_are_their_python_twins(graph: Graph) -> None:
    problem = packed_problem(graph)
    assert problem is not None
    for how, twin in TWINS.items():
        order, peak = native.construct(problem, how)
        assert tuple(order.tolist()) == twin(graph)
        assert peak == peak_live(graph, twin(graph))


@given(rich_graphs(max_ops=25), SEEDS)
@settings(max_examples=60, deadline=None)
def test_reverse_and_random_constructions_are_valid(graph: Graph, seed: int) -> None:
    problem = packed_problem(graph)
    assert problem is not None
    for how in (Construction.REVERSE_PEAK, Construction.REVERSE_DELTA, Construction.RANDOM):
        order, peak = native.construct(problem, how, seed=seed, repeats=3)
        assert_valid(graph, order.tolist())
        assert peak == peak_live(graph, order.tolist())


def test_more_random_orders_are_never_worse() -> None:
    problem = packed_problem(layered_graph(60, seed=1))
    assert problem is not None
    peaks = [native.construct(problem, Construction.RANDOM, seed=5, repeats=k)[1] for k in (1, 10, 100)]
    assert peaks == sorted(peaks, reverse=True)


@given(rich_graphs(max_ops=9), SEEDS)
@settings(max_examples=100, deadline=None)
def test_forced_cuts_are_the_sets_that_every_order_passes(graph: Graph, seed: int) -> None:
    problem = packed_problem(graph)
    assert problem is not None
    order = some_order(graph, seed)
    cuts = native.forced_cuts(problem, native.order_vector(order))
    assert cuts == [k for k in range(len(order) + 1) if _downsets(graph, k) == {frozenset(order[:k])}]


def _downsets(graph: Graph, size: int) -> set[frozenset[int]]:
    @cache
    def grow(count: int) -> frozenset[frozenset[int]]:
        if count == 0:
            return frozenset({frozenset()})
        return frozenset(
            done | {op}
            for done in grow(count - 1)
            for op in set(range(len(graph.ops))) - done
            if done.issuperset(graph.predecessors[op])
        )

    return set(grow(size))


def test_every_step_of_a_chain_is_a_cut_and_none_inside_the_diamond() -> None:
    line, fork = packed_problem(chain(5)), packed_problem(diamond())
    assert line is not None
    assert fork is not None
    assert native.forced_cuts(line, native.order_vector(range(5))) == [0, 1, 2, 3, 4, 5]
    assert native.forced_cuts(fork, native.order_vector(range(6))) == [0, 1, 5, 6]


def test_sums_beyond_64_bits_are_left_to_python() -> None:
    graph = Graph(
        "huge", tuple(Tensor(f"t{i}", 2**61) for i in range(3)), tuple(Op(f"o{i}", (), (i,)) for i in range(3))
    )
    assert packed_problem(graph) is None


def test_order_that_breaks_a_dependence_is_refused() -> None:
    problem = packed_problem(chain(3))
    assert problem is not None
    with pytest.raises(RuntimeError, match="not a topological order"):
        native.profile(problem, native.order_vector((1, 0, 2)))


def test_window_outside_the_order_is_refused() -> None:
    problem = packed_problem(chain(3))
    assert problem is not None
    order, flag = native.order_vector(range(3)), native.new_flag()
    with pytest.raises(ValueError, match="window 0 to 4"):
        native.step_bound(problem, order, native.Window(0, 4), 2**62, 1.0, flag)
    assert native.step_bound(problem, np.array([0, 1, 2], np.int32), whole(chain(3)), 2**62, 1.0, flag)[0] == 128
