"""A plan by name of the method: the portfolio, and the papers' own formulations."""

from __future__ import annotations

import pytest

from tvm_memopt.errors import BudgetError, MemoptError
from tvm_memopt.graph import check, given_order, layered_graph, peak_live
from tvm_memopt.solvers import METHODS, Request, solve

GRAPH = layered_graph(14, seed=3)
BUDGET = round(0.9 * peak_live(GRAPH, given_order(GRAPH)))


@pytest.mark.parametrize("method", METHODS)
def test_each_method_gives_a_valid_plan_that_names_it(method):
    if method == "checkmate":
        pytest.importorskip("highspy")
    budget = None if method == "olla" else BUDGET
    plan = solve(GRAPH, Request(method=method, budget_nbytes=budget, time_limit=10, threads=1))
    check(GRAPH, plan)
    assert plan.budget_nbytes == budget
    assert plan.solver["name"].lower().startswith(method)
    assert plan.cost >= plan.base_cost


def test_the_portfolio_is_never_worse():
    ours, theirs = (
        solve(GRAPH, Request(method=method, budget_nbytes=BUDGET, time_limit=10, threads=1))
        for method in ("portfolio", "moccasin")
    )
    assert ours.status in ("optimal", "feasible")
    assert theirs.status == "unknown" or ours.cost <= theirs.cost


@pytest.mark.parametrize("method", ["moccasin", "checkmate"])
def test_methods_that_recompute_need_a_budget(method):
    with pytest.raises(BudgetError, match=f"method '{method}' .* needs a budget"):
        solve(GRAPH, Request(method=method))


def test_olla_takes_none():
    with pytest.raises(BudgetError, match="takes no budget"):
        solve(GRAPH, Request(method="olla", budget_nbytes=BUDGET))


def test_an_unknown_method_lists_those_there_are():
    with pytest.raises(MemoptError, match="'mocasin' is unknown: expected one of portfolio, moccasin, checkmate, olla"):
        solve(GRAPH, Request(method="mocasin"))


def test_an_unknown_switch_lists_those_there_are():
    with pytest.raises(MemoptError, match=r"'cpsat' is unknown to method 'portfolio': expected one of .*cp-sat"):
        solve(GRAPH, Request(disabled=frozenset({"cpsat"})))
    with pytest.raises(MemoptError, match="'pyramid' is unknown to method 'portfolio'"):
        solve(GRAPH, Request(disabled=frozenset({"pyramid"})))
