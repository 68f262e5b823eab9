from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.brute_force import held_bytes, least_peak
from tests.solvers.order.native_tools import assert_valid, rich_graphs, some_order, whole
from tests.solvers.strategies import SEEDS, diamond
from tvm_memopt.graph import Graph, given_order, layered_graph, live_profile, peak_live
from tvm_memopt.solvers.native import order as native
from tvm_memopt.solvers.native.order import DecideOptions, Verdict, Window
from tvm_memopt.solvers.native.order.problem import packed_problem

LONG = 60.0
ENDLESS = 2**62  # work
OPTIONS = {
    "all": DecideOptions(),
    "no safe moves": DecideOptions(safe_moves=False),
    "no valleys": DecideOptions(valleys=False),
    "one end": DecideOptions(both_ends=False),
    "plain": DecideOptions(safe_moves=False, valleys=False, both_ends=False),
    "forcing": DecideOptions(forcing=True),
    "no branching": DecideOptions(forcing=True, branching=False),
    "branching alone": DecideOptions(forcing=True, states=1),
}


@pytest.mark.parametrize("name", OPTIONS)
@given(graph=rich_graphs(max_ops=9), seed=SEEDS, off=st.integers(-30, 30))
@settings(max_examples=80, deadline=None)
def test_verdict_is_that_of_all_orders(name: str, graph: Graph, seed: int, off: int) -> None:
    least = least_peak(graph)
    for budget in {least, least - 1, max(0, least + off)}:
        problem, order = packed_problem(graph), native.order_vector(some_order(graph, seed))
        assert problem is not None
        verdict, bound, _ = native.decide(problem, order, whole(graph), budget, OPTIONS[name], LONG, native.new_flag())
        if name != "branching alone":
            assert verdict is (Verdict.FEASIBLE if budget >= least else Verdict.INFEASIBLE)
        assert bound <= least
        assert verdict is not Verdict.INFEASIBLE or bound == budget + 1
        assert_valid(graph, order.tolist())
        assert verdict is not Verdict.FEASIBLE or peak_live(graph, order.tolist()) <= budget


@given(rich_graphs(max_ops=9), SEEDS, st.data())
@settings(max_examples=80, deadline=None)
def test_window_alone_is_rearranged_and_best_among_its_orders(graph: Graph, seed: int, data: st.DataObject) -> None:
    given = some_order(graph, seed)
    first = data.draw(st.integers(0, len(given)))
    last = data.draw(st.integers(first, min(len(given), first + 6)))
    least = min(
        max((live_profile(graph, given[:first] + middle + given[last:])[first:last]), default=0)
        for middle in _orders(graph, given[:first], given[first:last])
    )
    problem, order = packed_problem(graph), native.order_vector(given)
    assert problem is not None
    for options in (DecideOptions(), DecideOptions(forcing=True)):
        flag, window = native.new_flag(), Window(first, last)
        assert native.step_bound(problem, order, window, ENDLESS, LONG, flag)[0] <= least or first == last
        if first < last:
            assert native.decide(problem, order, window, least - 1, options, LONG, flag)[0] is Verdict.INFEASIBLE
            assert native.decide(problem, order, window, least, options, LONG, flag)[0] is Verdict.FEASIBLE
            assert max(live_profile(graph, order.tolist())[first:last]) <= least
        assert (order.tolist()[:first], order.tolist()[last:]) == (list(given[:first]), list(given[last:]))


def _orders(graph: Graph, done: tuple[int, ...], ops: tuple[int, ...]) -> list[tuple[int, ...]]:
    if not ops:
        return [()]
    return [
        (op, *rest)
        for op in ops
        if set(done).issuperset(graph.predecessors[op])
        for rest in _orders(graph, (*done, op), tuple(o for o in ops if o != op))
    ]


@given(rich_graphs(max_ops=9), SEEDS)
@settings(max_examples=150, deadline=None)
def test_step_bound_never_exceeds_the_least_peak_nor_misses_a_working_set(graph: Graph, seed: int) -> None:
    problem, order = packed_problem(graph), native.order_vector(some_order(graph, seed))
    assert problem is not None
    bound, _ = native.step_bound(problem, order, whole(graph), ENDLESS, LONG, native.new_flag())
    assert bound <= least_peak(graph)


@given(rich_graphs(max_ops=7))
@settings(max_examples=80, deadline=None)
def test_step_bound_without_sharing_is_the_largest_least_step_of_any_op(graph: Graph) -> None:
    graph = replace(graph, ops=tuple(replace(op, inplace=()) for op in graph.ops))
    problem = packed_problem(graph)
    assert problem is not None
    order = native.order_vector(range(len(graph.ops)))
    bound, _ = native.step_bound(problem, order, whole(graph), ENDLESS, LONG, native.new_flag())
    late = [op for op, before in enumerate(graph.predecessors) if before]  # the first step has bytes of its own
    assert bound >= max((_least_step(graph, op) for op in late), default=0)


def _least_step(graph: Graph, op: int) -> int:
    """Bytes that the step of ``op`` holds after the set of ops that leaves least."""
    n = len(graph.ops)
    sets = [{v for v in range(n) if mask >> v & 1} for mask in range(2**n)]
    closed = [s for s in sets if op not in s and all(s.issuperset(graph.predecessors[v]) for v in {*s, op})]
    return min((held_bytes(graph, sorted(s), op) for s in closed), default=0)


def test_limits_leave_the_answer_open() -> None:
    graph = layered_graph(60, seed=3)
    problem = packed_problem(graph)
    assert problem is not None
    given = native.order_vector(range(60))
    plain = DecideOptions(safe_moves=False, valleys=False, both_ends=False, states=10)
    verdict, *_ = native.decide(problem, given, whole(graph), 1, plain, LONG, native.new_flag())
    assert verdict is Verdict.INFEASIBLE  # no step fits: nothing was cut short
    budget = native.construct(problem, native.Construction.RANDOM, repeats=200)[1] - 1
    verdict, *_ = native.decide(problem, given, whole(graph), budget, plain, LONG, native.new_flag())
    assert verdict is Verdict.UNKNOWN
    flag = native.new_flag()
    flag[0] = 1
    for options in (DecideOptions(), DecideOptions(forcing=True)):
        assert native.decide(problem, given, whole(graph), budget, options, LONG, flag)[0] is Verdict.UNKNOWN
    assert given.tolist() == list(range(60))


def test_diamond_needs_120_bytes() -> None:
    problem = packed_problem(diamond())
    assert problem is not None
    order = native.order_vector(range(6))
    assert native.decide(problem, order, whole(diamond()), 119, DecideOptions(), LONG, native.new_flag())[:2] == (
        0,
        120,
    )
    assert native.decide(problem, order, whole(diamond()), 120, DecideOptions(), LONG, native.new_flag())[0] == 1
    assert peak_live(diamond(), order.tolist()) == 120


def test_work_limit_ends_the_search_at_the_same_place_every_time() -> None:
    graph = layered_graph(300, seed=1)
    problem = packed_problem(graph)
    assert problem is not None
    budget = peak_live(graph, given_order(graph)) * 9 // 10
    for forcing in (False, True):
        options = DecideOptions(forcing=forcing, work=1_000_000)
        runs = []
        for _ in range(2):
            order = native.order_vector(given_order(graph))
            verdict, bound, work = native.decide(problem, order, whole(graph), budget, options, LONG, native.new_flag())
            runs.append((verdict, bound, work, order.tolist()))
        assert runs[0] == runs[1]
