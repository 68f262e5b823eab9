"""The exact solver against Dijkstra's search over every schedule, and its two methods against each other."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.graph.two_branches import KIB, TWO_BRANCHES
from tests.solvers.remat.brute_force import least_cost
from tests.solvers.remat.long_skip import fixed_long_skip
from tests.solvers.strategies import chain, graphs
from tvm_memopt.errors import BudgetError, PlanError
from tvm_memopt.graph import Graph, given_order, layered_graph, peak_live, random_graph, working_set_bound
from tvm_memopt.solvers.remat.exact import solve_exactly
from tvm_memopt.solvers.remat.recompute_search import packed, search_recompute
from tvm_memopt.solvers.request import Deadline

SOME = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
SMALL = graphs(max_ops=5, max_nbytes=9)
BOTH = ["search", "cp-sat"]


def budget_between(graph: Graph, share: float) -> int:
    low, high = working_set_bound(graph)[0], peak_live(graph, given_order(graph))
    assume(0 < low < high and sum(graph.planned) <= 8)
    return low + int(share * (high - low))


def runs_every_op(graph: Graph, schedule: tuple[int, ...]) -> bool:
    counts = [schedule.count(op) for op in range(len(graph.ops))]
    return all(c == 1 or (c > 1 and op.recomputable) for c, op in zip(counts, graph.ops, strict=True))


@SOME
@given(SMALL, st.floats(0, 1), st.booleans())
def test_the_search_finds_the_least_cost_of_all_schedules(graph, share, safe_moves):
    budget = budget_between(graph, share)
    problem = packed(graph)
    assert problem is not None
    found = search_recompute(graph, problem, budget, Deadline(30), safe_moves=safe_moves)
    expected = least_cost(graph, budget)
    if expected is None:
        assert found.exhausted
        return
    assert found.schedule is not None
    assert sum(graph.ops[op].cost for op in found.schedule) == pytest.approx(expected)
    assert peak_live(graph, found.schedule) <= budget
    assert runs_every_op(graph, found.schedule)


@SOME
@given(SMALL, st.floats(0, 1), st.integers(1, 3))
def test_cp_sat_finds_the_least_cost_with_so_many_runs_an_op(graph, share, copies):
    budget = budget_between(graph, share)
    found = solve_exactly(graph, budget, copies=copies, method="cp-sat", time_limit=30)
    expected = least_cost(graph, budget, copies)
    if expected is None:
        assert found.status == "infeasible"
        return
    assert found.status == "optimal"
    assert found.cost == pytest.approx(expected)
    assert found.peak_nbytes == peak_live(graph, found.schedule) <= budget
    assert runs_every_op(graph, found.schedule)


@pytest.mark.parametrize("seed", range(6))
def test_safe_moves_change_no_optimum_on_graphs_beyond_brute_force(seed):
    graph = random_graph(11, seed=seed, alignment=1)
    low, high = working_set_bound(graph)[0], peak_live(graph, given_order(graph))
    budget, problem = (low + high) // 2, packed(graph)
    assert problem is not None
    found = [search_recompute(graph, problem, budget, Deadline(30), safe_moves=safe) for safe in (True, False)]
    assert found[0].proved_units == found[1].proved_units or (found[0].exhausted and found[1].exhausted)


@pytest.mark.parametrize("method", BOTH)
def test_the_stem_is_run_twice_at_the_lower_bound(method):
    found = solve_exactly(TWO_BRANCHES, 160 * KIB, method=method, time_limit=30)
    assert found.status == "optimal"
    assert found.cost == TWO_BRANCHES.base_cost + 2.0
    assert found.peak_nbytes <= 160 * KIB


@pytest.mark.parametrize("method", BOTH)
def test_order_alone_is_found_where_it_is_enough(method):
    found = solve_exactly(TWO_BRANCHES, 168 * KIB, method=method, time_limit=30)
    assert found.status == "optimal"
    assert found.cost == TWO_BRANCHES.base_cost


@pytest.mark.parametrize("method", BOTH)
def test_a_hint_at_the_optimum_is_proved_to_be_one(method):
    best = solve_exactly(TWO_BRANCHES, 160 * KIB, time_limit=30)
    found = solve_exactly(TWO_BRANCHES, 160 * KIB, hint=best.schedule, method=method, time_limit=30)
    assert (found.status, found.cost) == ("optimal", best.cost)


def test_a_cost_bound_that_the_hint_meets_ends_the_proof():
    best = solve_exactly(TWO_BRANCHES, 160 * KIB, time_limit=30)
    found = solve_exactly(TWO_BRANCHES, 160 * KIB, hint=best.schedule, cost_bound=best.cost)
    assert found.status == "optimal"
    assert "states" not in found.stats


def test_a_budget_below_the_working_set_is_infeasible():
    found = solve_exactly(TWO_BRANCHES, 160 * KIB - 1)
    assert (found.status, found.scope) == ("infeasible", "every schedule")


@pytest.mark.parametrize("method", BOTH)
def test_a_budget_above_the_working_set_that_no_schedule_meets_is_proved_infeasible(method):
    graph = fixed_long_skip()
    assert working_set_bound(graph)[0] < 119
    assert solve_exactly(graph, 119, method=method, time_limit=30).status == "infeasible"
    assert solve_exactly(graph, 120, method=method, time_limit=30).status == "optimal"


def test_a_layered_graph_of_thirty_ops_is_closed():
    graph = layered_graph(30, seed=1)
    found = solve_exactly(graph, 16125, time_limit=60)
    assert (found.status, found.scope) == ("optimal", "every schedule")
    assert found.cost / graph.base_cost == pytest.approx(1.05757, abs=1e-5)
    assert found.peak_nbytes <= 16125


def test_a_graph_too_large_for_the_search_goes_to_cp_sat():
    graph = chain(140)
    assert packed(graph) is None
    assert solve_exactly(graph, 128).status == "optimal"
    assert solve_exactly(layered_graph(140, seed=0), 60_000, time_limit=0.5).status in (
        "unknown",
        "feasible",
        "optimal",
    )


def test_time_runs_out_without_a_claim():
    graph = layered_graph(60, seed=1)
    low, high = working_set_bound(graph)[0], peak_live(graph, given_order(graph))
    found = solve_exactly(graph, (3 * low + high) // 4, time_limit=0.3)
    assert found.status in ("unknown", "feasible")


def test_bad_arguments_are_named():
    with pytest.raises(BudgetError, match="copies"):
        solve_exactly(chain(3), 200, copies=0)
    with pytest.raises(BudgetError, match="method"):
        solve_exactly(chain(3), 200, method="guess")  # type: ignore[arg-type]
    with pytest.raises(BudgetError, match="budget"):
        solve_exactly(chain(3), 0)
    with pytest.raises(PlanError, match="before its producer"):
        solve_exactly(chain(3), 100, hint=(2, 1, 0))
