import random
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.graph.strategies import random_schedule
from tests.solvers.order.native_tools import rich_graphs
from tests.solvers.remat.dijkstra import least_cost
from tests.solvers.remat.test_native_remat import assert_runs
from tests.solvers.strategies import SEEDS
from tvm_memopt.errors import PlanError
from tvm_memopt.graph import Graph, layered_graph, live_profile, peak_live, read_graph
from tvm_memopt.solvers.native import library
from tvm_memopt.solvers.native import remat as native
from tvm_memopt.solvers.remat.recompute_search import packed
from tvm_memopt.solvers.remat.scaling import scale_costs
from tvm_memopt.solvers.remat.search import search_remat
from tvm_memopt.solvers.remat.window_problem import Trace, window_problem
from tvm_memopt.solvers.remat.windows import improve_windows
from tvm_memopt.solvers.request import Deadline

DATA = Path(__file__).parents[2] / "data" / "remat"


def wander(graph: Graph, seed: int, moves: int = 30) -> tuple[int, ...]:
    """A valid schedule with repeats that serve no purpose, as a rule."""
    problem = native.packed_remat(graph)
    assert problem is not None
    return native.walk(problem, range(len(graph.ops)), 2**40, moves, seed).schedule


def cost_of(graph: Graph, schedule: Sequence[int]) -> float:
    return sum(graph.ops[op].cost for op in schedule)


def improved(graph: Graph, schedule: Sequence[int], budget: int, *lengths: int) -> tuple[int, ...]:
    return improve_windows(graph, schedule, budget, Deadline(60.0), lengths=lengths, states=100_000)


def valid_replacements(graph: Graph, schedule: Sequence[int], start: int, end: int) -> Iterator[tuple[int, ...]]:
    """Schedules with other steps from ``start`` to ``end`` that need nothing more of what comes before.

    Ops that run there for the first time still do. Where the graph has inputs that nobody reads, which only the very
    first step holds, that step may be any op, to no other purpose; a window does not try those that first run later.
    """
    entry = Trace(graph, schedule).held(start)
    fresh = set(schedule[start:end]) - set(schedule[:start])
    unread = {t for t, planned in enumerate(graph.planned) if planned and graph.producer[t] < 0}
    unread -= {t for reads in graph.reads for t in reads} | set(graph.returned)
    ops = sorted(set(schedule[:end])) if start == 0 and unread else range(len(graph.ops))
    for count in range(end - start + 1):
        for steps in product(ops, repeat=count):
            replaced = (*schedule[:start], *steps, *schedule[end:])
            if not fresh <= set(steps):
                continue
            try:
                assert_runs(graph, replaced)
                peak_live(graph, replaced)
            except (AssertionError, PlanError):
                continue
            if Trace(graph, replaced).held(start) <= entry:
                yield replaced


@given(rich_graphs(max_ops=8), SEEDS, st.integers(1, 8), st.floats(0.0, 1.0))
@settings(max_examples=150, deadline=None)
def test_windows_are_valid_and_never_worse(graph: Graph, seed: int, length: int, slack: float) -> None:
    schedule = wander(graph, seed)
    budget = peak_live(graph, schedule) + int(slack * 50)
    found = improved(graph, schedule, budget, length)
    assert_runs(graph, found)
    assert peak_live(graph, found) <= budget
    assert cost_of(graph, found) <= cost_of(graph, schedule) + 1e-9


@given(rich_graphs(max_ops=6), SEEDS)
@settings(max_examples=60, deadline=None)
def test_window_over_the_whole_schedule_is_least(graph: Graph, seed: int) -> None:
    assume(packed(graph) is not None)  # few enough in-place pairs an op
    schedule = wander(graph, seed)
    budget = peak_live(graph, schedule)
    found = improved(graph, schedule, budget, 2 * len(schedule))
    assert cost_of(graph, found) == pytest.approx(least_cost(graph, budget))


@given(rich_graphs(min_ops=3, max_ops=5), SEEDS, st.data())
@settings(max_examples=150, deadline=None)
def test_window_is_as_cheap_as_any_that_reads_no_more_and_leaves_no_less(
    graph: Graph, seed: int, data: st.DataObject
) -> None:
    assume(packed(graph) is not None)  # few enough in-place pairs an op
    schedule = random_schedule(graph, random.Random(seed), 4)
    repeats = [step for step, op in enumerate(schedule) if op in schedule[:step] and graph.ops[op].cost]
    assume(repeats)
    repeat = data.draw(st.sampled_from(repeats))
    start = data.draw(st.integers(max(0, repeat - 3), repeat))
    end = data.draw(st.integers(repeat + 1, min(len(schedule), start + 4)))
    before = live_profile(graph, schedule)
    budget = max(before[start:end])
    found = solved(graph, schedule, start, end, budget)
    assert_runs(graph, found)
    profile, after = live_profile(graph, found), len(found) - (len(schedule) - end)
    assert all(now <= then for now, then in zip(profile[:start], before[:start], strict=True))
    assert max(profile[start:after], default=0) <= budget
    assert all(now <= then for now, then in zip(profile[after:], before[end:], strict=True))
    for other in valid_replacements(graph, schedule, start, end):
        stretch = live_profile(graph, other)[start : len(other) - (len(schedule) - end)]
        if max(stretch, default=0) <= budget:
            assert cost_of(graph, found) <= cost_of(graph, other) + 1e-9


def solved(graph: Graph, schedule: Sequence[int], start: int, end: int, budget: int) -> tuple[int, ...]:
    """``schedule`` with the exact answer from ``start`` to ``end``; ``budget`` is for those steps."""
    problem = window_problem(Trace(graph, schedule), start, end, scale_costs(graph))
    assert problem is not None
    out, results = np.zeros(1000, np.int32), np.zeros(3, np.int64)
    options = np.array([budget - problem.constant, problem.repeats, 1, 2**28])
    flag = np.zeros(1, np.int32)
    assert library().recompute_least(problem.flat, options, 60.0, flag, out, results) == 1
    return (*schedule[:start], *(problem.ops[i] for i in out[: results[2]]), *schedule[end:])


def test_useless_repeats_go() -> None:
    graph = layered_graph(50, seed=9)
    schedule = (*range(50), *range(40, 50))
    found = improved(graph, schedule, peak_live(graph, schedule), 20)
    assert cost_of(graph, found) == pytest.approx(graph.base_cost)


def test_schedule_over_the_budget_is_left_as_it_is() -> None:
    graph = layered_graph(50, seed=9)
    schedule = wander(graph, 3)
    assert improved(graph, schedule, peak_live(graph, schedule) - 1, 10) == schedule


def test_windows_of_a_published_graph_are_deterministic_and_never_worse() -> None:
    graph = read_graph(DATA / "G3.json")
    budget = 200_000
    start = search_remat(graph, budget, seconds=60.0, rounds=1, disabled=frozenset({"windows"})).schedule
    assert peak_live(graph, start) <= budget
    first, second = (improve_windows(graph, start, budget, Deadline(60.0), seed=2) for _ in range(2))
    assert first == second
    assert peak_live(graph, first) <= budget
    assert cost_of(graph, first) <= cost_of(graph, start)


def test_flag_ends_the_windows_at_once() -> None:
    graph = layered_graph(50, seed=9)
    schedule = wander(graph, 3)
    flag = np.ones(1, np.int32)
    assert improve_windows(graph, schedule, peak_live(graph, schedule), Deadline(60.0), flag=flag) == schedule
