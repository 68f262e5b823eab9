from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.order.native_tools import rich_graphs
from tests.solvers.remat.dijkstra import least_cost
from tests.solvers.remat.long_skip import fixed_long_skip, long_skip
from tests.solvers.remat.training import training_chain
from tvm_memopt.graph import Graph, given_order, peak_live
from tvm_memopt.solvers import Request, solve
from tvm_memopt.solvers.remat.cut_bound import CutBound, bound_by_cuts
from tvm_memopt.solvers.remat.division import Division, lazy_schedule, widest_step
from tvm_memopt.solvers.remat.keep_cut import KeepCut
from tvm_memopt.solvers.remat.keep_search import keep_schedules
from tvm_memopt.solvers.remat.search import search_remat
from tvm_memopt.solvers.remat.sections import handed_on, section_starts
from tvm_memopt.solvers.request import Deadline


def cost_of(graph: Graph, schedule: Sequence[int]) -> float:
    return sum(graph.ops[op].cost for op in schedule)


def all_of(graph: Graph, budget: int, seconds: float = 60, stop: bool = False) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    flag = np.full(1, stop, np.int32)
    keep_schedules(graph, given_order(graph), budget, Deadline(seconds), flag, found.append)
    return found


@given(rich_graphs(max_ops=12), st.data())
@settings(max_examples=200, deadline=None)
def test_a_lazy_schedule_runs_each_op_once_and_those_of_the_set_at_most_twice(
    graph: Graph, data: st.DataObject
) -> None:
    order = given_order(graph)
    division = Division(graph, order, data.draw(st.integers(0, len(order))))
    again = data.draw(st.sets(st.integers(0, max(0, division.step - 1)))) if division.step else set()
    lazy = lazy_schedule(division, again)
    assert peak_live(graph, lazy.steps) >= 0  # raises where a read has no instance
    assert lazy.steps[: division.step] == order[: division.step]
    runs = Counter(lazy.steps)
    assert sorted(runs) == list(range(len(order)))
    assert {op for op, count in runs.items() if count > 1} <= {order[at] for at in again}
    assert max(runs.values()) <= 2
    assert list(lazy.places) == sorted(lazy.places)


def test_a_repeat_stands_right_before_the_first_late_read() -> None:
    graph = long_skip()
    lazy = lazy_schedule(Division(graph, given_order(graph), 2), {0})
    assert lazy.steps == (0, 1, 2, 3, 0, 4)


def test_long_chains_of_repeats_need_no_recursion() -> None:
    graph = training_chain(3000)
    schedule = lazy_schedule(Division(graph, given_order(graph), 3000), set(range(3000))).steps
    assert len(schedule) == len(graph.ops) + 3000


def test_the_widest_step_is_where_forward_meets_backward() -> None:
    graph = training_chain(10)
    assert widest_step(graph, given_order(graph)) in (9, 10)


@pytest.mark.parametrize(("price", "again"), [(0.0, set()), (0.001, set()), (1.0, {0})])
def test_the_cut_drops_what_costs_less_than_its_bytes(price: float, again: set[int]) -> None:
    graph = long_skip()
    division = Division(graph, given_order(graph), 3)
    prices = np.array([0.0, 0.0, price, 0.0, 0.0])
    found = KeepCut(division).again(prices, np.ones(3), lazy_schedule(division, set()), set())
    assert found == again


def test_the_cut_makes_nothing_again_that_may_run_once_only() -> None:
    graph = fixed_long_skip()
    division = Division(graph, given_order(graph), 3)
    prices = np.array([0.0, 0.0, 1e6, 0.0, 0.0])
    assert KeepCut(division).again(prices, np.ones(3), lazy_schedule(division, set()), set()) == set()


def test_sections_forbid_to_make_again_what_they_hand_on() -> None:
    graph = training_chain(40)
    division = Division(graph, given_order(graph), 40)
    starts = section_starts(division, 4)
    assert len(starts) == 3
    assert set(np.flatnonzero(handed_on(division, starts))) == {start - 1 for start in starts}
    assert not handed_on(division, section_starts(division, 1)).any()


def test_the_one_cheap_repeat_is_found() -> None:
    graph = long_skip()
    assert all_of(graph, 75)[-1] == (0, 1, 2, 3, 0, 4)


@given(rich_graphs(max_ops=14), st.floats(0.3, 1.0))
@settings(max_examples=100, deadline=None)
def test_schedules_get_better_and_are_valid(graph: Graph, share: float) -> None:
    budget = max(1, int(share * peak_live(graph, given_order(graph))))
    ranks = []
    for schedule in all_of(graph, budget):
        assert set(schedule) == set(range(len(graph.ops)))
        assert all(n == 1 or graph.ops[op].recomputable for op, n in Counter(schedule).items())
        peak = peak_live(graph, schedule)
        over = peak > budget
        ranks.append((over, peak if over else cost_of(graph, schedule)))
    assert ranks == sorted(ranks, reverse=True)


def test_a_long_chain_is_checkpointed() -> None:
    graph = training_chain(400)
    budget = peak_live(graph, given_order(graph)) // 5
    found = all_of(graph, budget)[-1]
    assert peak_live(graph, found) <= budget
    assert cost_of(graph, found) <= 1.42 * graph.base_cost  # a fifth kept is 1.4; nothing kept, 1.5
    with_one_section = lazy_schedule(Division(graph, given_order(graph), 400), set(range(400))).steps
    assert peak_live(graph, with_one_section) > budget


def test_a_set_flag_and_a_passed_deadline_end_it() -> None:
    graph = training_chain(100)
    budget = peak_live(graph, given_order(graph)) // 5
    assert not all_of(graph, budget, stop=True)
    assert not all_of(graph, budget, seconds=0)
    assert bound_by_cuts(graph, given_order(graph), budget, Deadline(0)) == 0


@given(rich_graphs(max_ops=6), st.floats(0.4, 1.0))
@settings(max_examples=150, deadline=None)
def test_bound_is_never_above_the_least_cost(graph: Graph, share: float) -> None:
    budget = int(share * peak_live(graph, range(len(graph.ops))))
    least = least_cost(graph, budget)
    if least is None:
        return
    most = (least - graph.base_cost) * (1 + 1e-9) + 1e-12 * graph.base_cost
    total = max(1, sum(tensor.nbytes for tensor in graph.tensors))
    for op in range(len(graph.ops)):
        assert CutBound(graph, op, budget).best(4096 * graph.base_cost / total, Deadline(60)) <= most
    assert bound_by_cuts(graph, given_order(graph), budget, Deadline(60)) <= most


def test_bound_is_near_the_cost_where_one_step_divides_the_graph() -> None:
    graph = training_chain(200)
    budget = peak_live(graph, given_order(graph)) // 2
    bound = bound_by_cuts(graph, given_order(graph), budget, Deadline(60))
    assert 0.4 * 200 < bound < 0.55 * 200  # half of the forward ops, of cost 1 each, less the working set


def test_search_reports_the_bound_and_the_switch_turns_it_off() -> None:
    graph = training_chain(100)
    budget = peak_live(graph, given_order(graph)) // 2
    off = frozenset({"price-bound", "exact-remat"})
    bounds = []
    for disabled in (off, off | {"cut-bound"}):
        found = search_remat(graph, budget, seconds=60.0, rounds=0, disabled=disabled)
        assert found.cost_bound is not None
        bounds.append(found.cost_bound - graph.base_cost)
    assert bounds[0] > 40
    assert bounds[1] < 2


def test_a_plan_knows_that_no_order_keeps_the_budget() -> None:
    graph = training_chain(100)
    budget = peak_live(graph, given_order(graph)) // 2
    plan = solve(graph, Request(budget_nbytes=budget, time_limit=3.0, threads=1))
    assert plan.solver["order_bound_nbytes"] > budget
    assert plan.cost_bound is not None
    assert graph.base_cost + 40 < plan.cost_bound <= plan.cost
