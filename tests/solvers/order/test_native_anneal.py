import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.brute_force import least_peak
from tests.solvers.order.native_tools import assert_valid, rich_graphs, some_order, whole
from tests.solvers.strategies import SEEDS
from tvm_memopt.graph import Graph, layered_graph, live_profile, peak_live
from tvm_memopt.solvers.native import order as native
from tvm_memopt.solvers.native.order import AnnealOptions, Window
from tvm_memopt.solvers.native.order.problem import packed_problem


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("block_moves", [True, False])
@given(graph=rich_graphs(max_ops=20), seed=SEEDS, data=st.data())
@settings(max_examples=40, deadline=None)
def test_annealing_reports_its_peak_and_is_never_worse(
    smooth: bool, block_moves: bool, graph: Graph, seed: int, data: st.DataObject
) -> None:
    given = some_order(graph, seed)
    first = data.draw(st.integers(0, len(given) - 1))
    last = data.draw(st.integers(first + 1, len(given)))
    problem, order = packed_problem(graph), native.order_vector(given)
    assert problem is not None
    options = AnnealOptions(smooth=smooth, block_moves=block_moves, moves=500, seed=seed)
    peak, _ = native.anneal(problem, order, Window(first, last), options, 60.0, native.new_flag())
    assert_valid(graph, order.tolist())
    assert peak == max(live_profile(graph, order.tolist())[first:last])
    assert peak <= max(live_profile(graph, given)[first:last])
    assert (order.tolist()[:first], order.tolist()[last:]) == (list(given[:first]), list(given[last:]))


@given(rich_graphs(max_ops=7), SEEDS)
@settings(max_examples=60, deadline=None)
def test_annealing_finds_the_least_peak_of_small_graphs(graph: Graph, seed: int) -> None:
    problem, order = packed_problem(graph), native.order_vector(some_order(graph, seed))
    assert problem is not None
    options = AnnealOptions(moves=40_000, hot=0.5, cold=0.01, seed=1, target=least_peak(graph))
    peak, moves = native.anneal(problem, order, whole(graph), options, 60.0, native.new_flag())
    assert peak == least_peak(graph)
    assert moves <= options.moves


def test_same_seed_and_move_budget_give_the_same_order() -> None:
    graph = layered_graph(80, seed=2)
    problem = packed_problem(graph)
    assert problem is not None
    found = []
    for _ in range(2):
        order = native.order_vector(range(80))
        native.anneal(problem, order, whole(graph), AnnealOptions(moves=20_000, seed=7), 60.0, native.new_flag())
        found.append(order.tolist())
    assert found[0] == found[1]
    assert peak_live(graph, found[0]) < peak_live(graph, range(80))


def test_interrupted_annealing_leaves_a_valid_order() -> None:
    graph = layered_graph(80, seed=2)
    problem, flag = packed_problem(graph), native.new_flag()
    assert problem is not None
    flag[0] = 1
    order = native.order_vector(range(80))
    native.anneal(problem, order, whole(graph), AnnealOptions(), 60.0, flag)
    assert_valid(graph, order.tolist())
