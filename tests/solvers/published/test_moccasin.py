"""MOCCASIN against every schedule of its space, and its published costs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.graph.two_branches import KIB, TWO_BRANCHES
from tests.solvers.remat.brute_force import least_staged_cost
from tests.solvers.remat.long_skip import fixed_long_skip, long_skip
from tests.solvers.strategies import chain, graphs
from tvm_memopt.errors import BudgetError, PlanError
from tvm_memopt.graph import Graph, given_order, parse_budget, peak_live, read_graph, working_set_bound
from tvm_memopt.solvers.published.moccasin.solve import solve_moccasin

DATA = Path(__file__).parents[2] / "data" / "remat"
TINY = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def budget_between(graph: Graph, share: float) -> int:
    low, high = working_set_bound(graph)[0], peak_live(graph, given_order(graph))
    assume(0 < low < high)
    return low + int(share * (high - low))


@TINY
@given(graphs(max_ops=4, max_nbytes=9), st.floats(0, 1), st.integers(1, 3), st.sampled_from(["reservoir", "literals"]))
def test_without_log_lengths_the_optimum_is_that_of_every_staged_schedule(graph, share, copies, encoding):
    budget = budget_between(graph, share)
    expected = least_staged_cost(graph, budget, copies, epilogue=bool(graph.returned))
    found = solve_moccasin(graph, budget, copies=copies, encoding=encoding, log_lengths=False, time_limit=30)
    if expected is None:
        assert found.status == "infeasible"
    else:
        assert found.status == "optimal"
        assert found.cost == pytest.approx(expected)
        assert peak_live(graph, found.schedule) == found.peak_nbytes <= budget


@TINY
@given(graphs(max_ops=4, max_nbytes=9), st.floats(0, 1), st.sampled_from(["reservoir", "literals"]))
def test_with_log_lengths_the_answer_is_valid_and_claims_no_more_than_is_proved(graph, share, encoding):
    budget = budget_between(graph, share)
    expected = least_staged_cost(graph, budget, 2, epilogue=bool(graph.returned))
    found = solve_moccasin(graph, budget, encoding=encoding, time_limit=30)
    if found.status in ("optimal", "feasible"):
        assert peak_live(graph, found.schedule) <= budget
        assert expected is not None
        assert found.cost >= expected - 1e-9
    assert found.status != "infeasible" or expected is None
    assert found.status != "optimal" or found.cost == pytest.approx(graph.base_cost)


@pytest.mark.parametrize("encoding", ["reservoir", "literals"])
def test_a_cheap_tensor_is_computed_twice(encoding):
    found = solve_moccasin(long_skip(), 75, encoding=encoding, log_lengths=False, time_limit=30)
    assert found.status == "optimal"
    assert found.cost == 22.0
    assert found.schedule.count(0) == 2


def test_one_copy_an_op_cannot_recompute():
    assert solve_moccasin(long_skip(), 75, copies=1, log_lengths=False).status == "infeasible"
    assert solve_moccasin(long_skip(), 75, copies=[2, 1, 1, 1, 1], log_lengths=False).cost == 22.0


def test_an_op_that_must_run_once_is_not_repeated():
    assert solve_moccasin(fixed_long_skip(), 119, log_lengths=False).status == "infeasible"
    assert solve_moccasin(fixed_long_skip(), 120, log_lengths=False).status == "optimal"


def test_another_order_can_make_repeats_needless():
    budget = 168 * KIB
    assert solve_moccasin(TWO_BRANCHES, budget, order=(0, 3, 1, 2, 4), time_limit=10).cost == TWO_BRANCHES.base_cost
    with pytest.raises(PlanError, match="depends on"):
        solve_moccasin(TWO_BRANCHES, budget, order=(3, 0, 1, 2, 4))


def test_a_budget_below_the_working_set_is_infeasible_for_every_schedule():
    found = solve_moccasin(long_skip(), 69)
    assert (found.status, found.scope) == ("infeasible", "every schedule")


def test_a_budget_that_the_order_meets_needs_no_search():
    graph = chain(5)
    found = solve_moccasin(graph, 128)
    assert found.status == "optimal"
    assert found.schedule == given_order(graph)
    assert found.cost_bound == found.cost


@pytest.mark.parametrize(("keywords", "message"), [({"copies": 0}, "copies"), ({"encoding": "x"}, "encoding")])
def test_bad_arguments_are_named(keywords, message):
    with pytest.raises(BudgetError, match=message):
        solve_moccasin(chain(3), 200, **keywords)
    with pytest.raises(BudgetError, match="2 entries"):
        solve_moccasin(chain(3), 200, copies=[1, 1])


@pytest.mark.parametrize(("percent", "cost_ratio"), [("90%", 1.0003), ("80%", 1.0014)])
def test_the_published_costs_of_cm1_are_reached_and_proved(percent, cost_ratio):
    graph = read_graph(DATA / "CM1.json")
    budget = parse_budget(percent, graph)
    found = solve_moccasin(graph, budget, encoding="literals", log_lengths=False, time_limit=60)
    assert found.status == "optimal"
    assert found.cost / graph.base_cost == pytest.approx(cost_ratio, abs=5e-5)
    assert peak_live(graph, found.schedule) <= budget


def test_history_gets_cheaper_and_progress_is_told():
    graph = read_graph(DATA / "CM1.json")
    told: list[str] = []
    budget = parse_budget("85%", graph)
    found = solve_moccasin(
        graph, budget, encoding="literals", log_lengths=False, progress=lambda p: told.append(p.stage)
    )
    costs = [cost for _, cost in found.history]
    assert costs == sorted(costs, reverse=True)
    assert math.isclose(costs[-1], found.cost)
    assert any("phase 1" in stage for stage in told)


def test_a_short_time_limit_leaves_an_honest_answer():
    graph = read_graph(DATA / "G2.json")
    found = solve_moccasin(graph, parse_budget("80%", graph), time_limit=0.5)
    assert found.status in ("unknown", "feasible")
    assert found.peak_nbytes == peak_live(graph, found.schedule)
