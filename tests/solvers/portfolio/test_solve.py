import os
import signal
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.brute_force import least_peak
from tests.solvers.remat.brute_force import least_cost
from tests.solvers.remat.long_skip import long_skip
from tests.solvers.strategies import chain, diamond, graphs
from tvm_memopt.graph import Graph, Plan, find_violations, layered_graph, random_graph, working_set_bound
from tvm_memopt.solvers import SWITCHES, Progress, Request, solve

FAST = Request(time_limit=20, threads=1)


def outcome(plan: Plan) -> Plan:
    """The plan without how long it took."""
    return replace(plan, solver={key: value for key, value in plan.solver.items() if key != "seconds"})


@given(graphs(max_ops=8))
@settings(max_examples=300, deadline=None)
def test_best_order_has_the_peak_that_brute_force_finds(graph: Graph) -> None:
    plan = solve(graph, FAST)
    assert find_violations(graph, plan) == []
    least = least_peak(graph)
    peaks = [peak for _, peak in plan.solver["evaluated"]]
    assert plan.lower_bound_nbytes is not None
    assert min(peaks) == least or plan.arena_nbytes == plan.lower_bound_nbytes
    assert least <= plan.peak_live_nbytes
    if plan.solver["bound_holds_for"] == "schedules without recomputation":
        assert plan.solver["order_peak_bound_nbytes"] == least <= plan.solver["order_bound_nbytes"]


@given(graphs(max_ops=25))
@settings(max_examples=100, deadline=None)
def test_plan_is_valid_and_no_worse_than_the_given_order(graph: Graph) -> None:
    constructive = frozenset(SWITCHES) - {"inplace", "best-fit"}
    plan = solve(graph, Request(time_limit=20, disabled=frozenset({"cp-sat"})))
    given_plan = solve(graph, Request(time_limit=20, disabled=constructive))
    assert find_violations(graph, plan) == find_violations(graph, given_plan) == []
    assert plan.arena_nbytes <= given_plan.arena_nbytes
    assert given_plan.schedule == tuple(range(len(graph.ops)))


@pytest.mark.parametrize("switch", SWITCHES)
@given(graph=graphs(max_ops=7))
@settings(max_examples=30, deadline=None)
def test_each_switch_off_leaves_a_valid_plan(switch: str, graph: Graph) -> None:
    seconds = 0.2 if switch == "exact-order" else FAST.time_limit  # without it there is no end where bounds are loose
    plan = solve(graph, replace(FAST, time_limit=seconds, disabled=frozenset({switch})))
    assert find_violations(graph, plan) == []
    if switch == "safe-moves":
        peaks = [peak for _, peak in plan.solver["evaluated"]]
        assert min(peaks) == least_peak(graph) or plan.status == "optimal"


@given(graphs(max_ops=6), st.integers(1, 110))
@settings(max_examples=60, deadline=None)
def test_status_under_a_budget_is_what_brute_force_says(graph: Graph, percent: int) -> None:
    free = solve(graph, FAST)
    budget = max(1, free.arena_nbytes * percent // 100)
    plan = solve(graph, replace(FAST, budget_nbytes=budget, time_limit=0.5))
    assert find_violations(graph, plan) == []
    assert plan.budget_nbytes == budget
    least = least_cost(graph, budget)  # by live bytes: no arena does with fewer
    if plan.status == "infeasible":
        assert least is None or working_set_bound(graph)[0] > budget  # padding counts in the second alone
        assert plan.lower_bound_nbytes is not None
        assert plan.lower_bound_nbytes > budget
    elif plan.status == "unknown":
        assert plan.arena_nbytes > budget
        assert free.arena_nbytes > budget
    else:
        assert plan.arena_nbytes <= budget
        assert least is not None
        assert plan.cost_bound is not None
        assert plan.cost_bound <= plan.cost
        assert plan.cost >= least - 1e-9
        assert plan.status == "feasible" or plan.cost == pytest.approx(max(least, plan.cost_bound))
    if free.arena_nbytes <= budget:
        assert (plan.status, plan.cost) == ("optimal", graph.base_cost)


def test_diamond_is_reordered_and_proved() -> None:
    plan = solve(diamond(), FAST)
    assert (plan.arena_nbytes, plan.lower_bound_nbytes, plan.status) == (120, 120, "optimal")
    assert (plan.solver["given_order_peak_nbytes"], plan.solver["order_peak_nbytes"]) == (210, 120)
    assert plan.solver["bound_holds_for"] == "schedules without recomputation"


def test_given_order_that_meets_the_working_set_ends_the_search() -> None:
    plan = solve(chain(400), FAST)
    assert (plan.arena_nbytes, plan.status) == (128, "optimal")
    assert [method for method, _ in plan.solver["evaluated"]] == ["given"]


def test_first_plan_that_fits_the_budget_ends_the_search() -> None:
    plan = solve(diamond(), replace(FAST, budget_nbytes=210))
    assert (plan.status, plan.solver["order_method"]) == ("optimal", "given")


def test_infeasible_budget_names_the_op_that_needs_more() -> None:
    plan = solve(diamond(), replace(FAST, budget_nbytes=100))
    assert (plan.status, plan.lower_bound_nbytes) == ("infeasible", 110)
    assert plan.solver["working_set_op"] in (3, 4)
    assert plan.solver["bound_holds_for"] == "every schedule"


def test_budget_that_no_order_meets_is_infeasible_only_once_recomputation_is_ruled_out() -> None:
    request = replace(FAST, budget_nbytes=115, time_limit=1)
    plan = solve(diamond(), replace(request, disabled=frozenset({"exact-remat"})))
    assert (plan.status, plan.arena_nbytes, plan.lower_bound_nbytes) == ("unknown", 120, 110)
    plan = solve(diamond(), request)
    assert (plan.status, plan.lower_bound_nbytes) == ("infeasible", 116)


def test_recomputation_is_used_where_no_order_keeps_the_budget() -> None:
    graph = long_skip()
    free = solve(graph, FAST)
    budget = free.arena_nbytes - 1
    plan = solve(graph, replace(FAST, budget_nbytes=budget))
    assert find_violations(graph, plan) == []
    assert plan.arena_nbytes <= budget
    assert len(plan.schedule) > len(graph.ops)
    assert plan.cost == pytest.approx(least_cost(graph, budget))
    assert plan.status == "optimal"


def test_graph_without_ops_has_an_empty_plan() -> None:
    plan = solve(Graph("empty", (), ()))
    assert (plan.schedule, plan.arena_nbytes, plan.status) == ((), 0, "optimal")


def test_sixty_op_layered_graph_is_proved() -> None:
    graph = layered_graph(60, seed=3)
    plan = solve(graph, replace(FAST, disabled=frozenset({"cp-sat"})))
    assert plan.solver["proved_order"]
    assert plan.solver["order_peak_bound_nbytes"] == min(peak for _, peak in plan.solver["evaluated"])


def test_same_seed_gives_the_same_plan() -> None:
    for seed in range(5):
        graph = random_graph(20, seed=seed, alignment=64)
        request = Request(time_limit=60, seed=7, threads=2)
        assert outcome(solve(graph, request)) == outcome(solve(graph, request))


@pytest.mark.parametrize("stage", ["given order", "constructive orders", "order search", "addresses of order 0"])
def test_ctrl_c_at_any_stage_returns_the_best_plan_so_far(stage: str) -> None:
    graph = layered_graph(150, seed=1)
    seen: list[str] = []

    def interrupt(news: Progress) -> None:
        seen.append(news.stage)
        if news.stage == stage:
            os.kill(os.getpid(), signal.SIGINT)

    plan = solve(graph, Request(time_limit=600, progress=interrupt))
    assert seen[-1] == stage
    assert plan.solver["interrupted"]
    assert find_violations(graph, plan) == []


def test_ctrl_c_inside_exact_placement_returns_at_once() -> None:
    pytest.importorskip("ortools", reason="the exact placement needs OR-tools")
    graph = layered_graph(250, seed=1)
    disabled = frozenset({"native", "beam", "constructive", "boosting"})

    def interrupt_soon(news: Progress) -> None:
        if news.stage.startswith("addresses"):
            signal.setitimer(signal.ITIMER_REAL, 0.3)

    previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        plan = solve(graph, Request(time_limit=600, threads=1, disabled=disabled, progress=interrupt_soon))
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert plan.solver["interrupted"]
    assert find_violations(graph, plan) == []


def test_a_moment_is_enough_for_a_valid_plan() -> None:
    graph = random_graph(2000, seed=1)
    plan = solve(graph, Request(time_limit=1e-6))
    assert find_violations(graph, plan) == []
    assert plan.solver["order_method"] == "given"


def test_progress_tells_an_arena_that_only_shrinks() -> None:
    news: list[Progress] = []
    plan = solve(layered_graph(100, seed=2), Request(time_limit=1, progress=news.append))
    arenas = [line.arena_nbytes for line in news if line.arena_nbytes is not None]
    assert arenas == sorted(arenas, reverse=True)
    assert arenas[-1] == plan.arena_nbytes
    assert (news[0].stage, news[-1].stage) == ("given order", "done")


@pytest.mark.slow
def test_ten_thousand_ops_interrupted_in_the_order_search_yield_a_valid_plan() -> None:
    graph = layered_graph(10_000, seed=0)

    def interrupt(news: Progress) -> None:
        if news.stage == "order search":
            os.kill(os.getpid(), signal.SIGINT)

    plan = solve(graph, Request(time_limit=600, progress=interrupt))
    assert plan.solver["interrupted"]
    assert find_violations(graph, plan) == []


def test_ctrl_c_before_there_is_a_plan_still_gives_one() -> None:
    graph = layered_graph(2000, seed=0)
    seen: list[str] = []

    def interrupt(news: Progress) -> None:
        seen.append(news.stage)
        os.kill(os.getpid(), signal.SIGINT)

    plan = solve(graph, Request(time_limit=600, progress=interrupt))
    assert seen == ["given order"]
    assert plan.solver["interrupted"]
    assert find_violations(graph, plan) == []
