import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.strategies import random_schedule
from tests.solvers.order.native_tools import rich_graphs
from tests.solvers.remat.dijkstra import least_cost
from tests.solvers.strategies import SEEDS
from tvm_memopt.graph import Graph, Op, Tensor, layered_graph, live_profile, peak_live
from tvm_memopt.solvers.native import remat as native
from tvm_memopt.solvers.native.remat import AnnealOptions, packed_remat


def assert_runs(graph: Graph, schedule: tuple[int, ...]) -> None:
    """Every op runs after what it depends on; only recomputable ops run again."""
    first: dict[int, int] = {}
    for step, op in enumerate(schedule):
        assert all(p in first for p in graph.predecessors[op])
        assert first.setdefault(op, step) == step or graph.ops[op].recomputable
    assert len(first) == len(graph.ops)


def repeated_schedule(graph: Graph, seed: int, repeats: int) -> tuple[int, ...]:
    return random_schedule(graph, random.Random(seed), repeats)


@given(rich_graphs(max_ops=20), SEEDS, st.integers(0, 8))
@settings(max_examples=150, deadline=None)
def test_bytes_held_are_those_of_the_definition(graph: Graph, seed: int, repeats: int) -> None:
    problem, schedule = packed_remat(graph), repeated_schedule(graph, seed, repeats)
    assert problem is not None
    assert native.profile(problem, schedule).tolist() == live_profile(graph, schedule)


@given(rich_graphs(max_ops=20), SEEDS, st.integers(0, 5), st.integers(0, 80), st.floats(0.3, 1.1))
@settings(max_examples=250, deadline=None)
def test_state_agrees_with_the_definition_after_random_moves(
    graph: Graph, seed: int, repeats: int, moves: int, share: float
) -> None:
    problem, schedule = packed_remat(graph), repeated_schedule(graph, seed, repeats)
    assert problem is not None
    budget = int(share * peak_live(graph, schedule))
    walk = native.walk(problem, schedule, budget, moves, seed)
    assert_runs(graph, walk.schedule)
    profile = live_profile(graph, walk.schedule)
    assert list(walk.held) == profile
    assert walk.steps_over == sum(nbytes > budget for nbytes in profile)
    assert walk.nbytes_over == sum(max(0, nbytes - budget) for nbytes in profile)
    assert walk.cost == pytest.approx(sum(graph.ops[op].cost for op in walk.schedule))


def test_random_moves_add_and_drop_repeats() -> None:
    graph = layered_graph(60, seed=1)
    problem = packed_remat(graph)
    assert problem is not None
    lengths = {len(native.walk(problem, range(60), 1, moves, 3).schedule) for moves in (0, 50, 100, 200, 400)}
    assert min(lengths) == 60
    assert len(lengths) > 2


@pytest.mark.parametrize("off", ["repeats", "adaptive_weight", "guided", "chains", "block_moves", "exchange", None])
def test_annealing_is_valid_and_never_dearer_or_larger_than_its_start(off: str | None) -> None:
    graph = layered_graph(40, seed=5)
    problem = packed_remat(graph)
    assert problem is not None
    peak = peak_live(graph, range(40))
    options = AnnealOptions(moves=20_000, seed=3, **({off: False} if off else {}))
    for share in (0.7, 0.9, 1.0):
        budget = int(share * peak)
        schedule, _ = native.anneal(problem, range(40), budget, options, 60.0, np.zeros(1, np.int32))
        assert_runs(graph, schedule)
        assert peak_live(graph, schedule) <= peak
        if budget >= peak or off == "repeats":
            assert len(schedule) == 40


@given(rich_graphs(max_ops=5), st.floats(0.5, 1.0))
@settings(max_examples=60, deadline=None)
def test_annealing_finds_the_least_cost_of_small_graphs(graph: Graph, share: float) -> None:
    problem, start = packed_remat(graph), tuple(range(len(graph.ops)))
    assert problem is not None
    budget = int(share * peak_live(graph, start))
    least = least_cost(graph, budget)
    target = graph.base_cost if least is None else least
    options = AnnealOptions(moves=60_000, hot=0.5, cold=0.005, weight=1.0, seed=1, target=target)
    schedule, _ = native.anneal(problem, start, budget, options, 60.0, np.zeros(1, np.int32))
    assert_runs(graph, schedule)
    if least is None:
        assert peak_live(graph, schedule) > budget
    else:
        assert peak_live(graph, schedule) <= budget
        assert sum(graph.ops[op].cost for op in schedule) == pytest.approx(least)


def test_same_seed_gives_the_same_schedule() -> None:
    graph = layered_graph(80, seed=2)
    problem = packed_remat(graph)
    assert problem is not None
    budget = int(0.6 * peak_live(graph, range(80)))
    options = AnnealOptions(moves=30_000, seed=7)
    found = [native.anneal(problem, range(80), budget, options, 60.0, np.zeros(1, np.int32)) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0][1] == options.moves


def test_flag_ends_annealing_with_its_start() -> None:
    graph = layered_graph(80, seed=2)
    problem, flag = packed_remat(graph), np.ones(1, np.int32)
    assert problem is not None
    schedule, moves = native.anneal(problem, range(80), 1, AnnealOptions(moves=10**9), 60.0, flag)
    assert (schedule, moves) == (tuple(range(80)), 0)


def test_bytes_that_doubles_cannot_count_are_refused() -> None:
    graph = Graph("vast", (Tensor("x", 2**50),), (Op("make", (), (0,), 1.0),), (0,))
    assert packed_remat(graph) is None
