import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tvm_memopt.graph import Graph, Plan, find_violations, given_order, peak_live, read_graph
from tvm_memopt.solvers import Progress, Request, solve
from tvm_memopt.solvers.sweep import sweep

GRAPH = read_graph(Path(__file__).parents[1] / "data" / "remat" / "CM1.json")
GIVEN = peak_live(GRAPH, given_order(GRAPH))


def budgets(*percents: int) -> list[int]:
    return [GIVEN * percent // 100 for percent in percents]


def test_cost_grows_as_the_budget_shrinks_and_every_plan_is_valid() -> None:
    heard: list[Plan] = []
    plans = sweep(GRAPH, budgets(80, 100, 90), Request(time_limit=1, threads=1), heard.append)
    assert [plan.budget_nbytes for plan in plans] == budgets(100, 90, 80)
    assert [plan.cost for plan in plans] == sorted(plan.cost for plan in plans)
    for plan in plans:
        assert find_violations(GRAPH, plan) == []
        assert plan.status in ("optimal", "feasible")
        assert plan.budget_nbytes is not None
        assert plan.arena_nbytes <= plan.budget_nbytes
    assert len(heard) == 3
    assert plans[0].status == "optimal"
    assert plans[1].cost > plans[1].base_cost


def test_what_a_smaller_budget_found_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    larger, smaller = budgets(90, 80)

    def without_recomputing_the_larger(graph: Graph, request: Request) -> Plan:
        off = frozenset({"remat"}) if request.budget_nbytes == larger else frozenset[str]()
        return solve(graph, replace(request, disabled=off))

    monkeypatch.setattr("tvm_memopt.solvers.sweep.solve", without_recomputing_the_larger)
    request = Request(time_limit=1, threads=1)
    assert sweep(GRAPH, [larger], request)[0].status == "unknown"
    plans = sweep(GRAPH, [larger, smaller], request)
    assert plans[0].schedule == plans[1].schedule
    assert (plans[0].budget_nbytes, plans[0].status) == (larger, "feasible")
    assert find_violations(GRAPH, plans[0]) == []


def test_budget_below_a_working_set_is_infeasible_in_the_sweep() -> None:
    plans = sweep(GRAPH, [1, GIVEN], Request(time_limit=1, threads=1))
    assert [plan.status for plan in plans] == ["optimal", "infeasible"]


def test_interrupt_keeps_the_curve_so_far() -> None:
    def interrupt(news: Progress) -> None:
        if news.stage.startswith("recomputation"):
            os.kill(os.getpid(), signal.SIGINT)

    plans = sweep(GRAPH, budgets(100, 80, 70), Request(time_limit=600, threads=1, progress=interrupt))
    assert len(plans) == 2
    assert plans[1].solver["interrupted"]
    assert find_violations(GRAPH, plans[1]) == []
