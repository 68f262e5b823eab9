import random

import pytest
from hypothesis import given, settings

from tests.graph.strategies import random_schedule
from tests.solvers.strategies import SEEDS, diamond, graphs
from tvm_memopt.errors import PlanError
from tvm_memopt.graph import Graph, find_violations
from tvm_memopt.solvers import Deadline, Request, plan_for_order


@given(graphs(max_ops=12), SEEDS)
@settings(max_examples=100, deadline=None)
def test_any_schedule_with_repeats_gets_a_valid_plan(graph: Graph, seed: int) -> None:
    schedule = random_schedule(graph, random.Random(seed), repeats=4)
    plan = plan_for_order(graph, schedule, Request(), Deadline(60))
    assert find_violations(graph, plan) == []
    assert plan.schedule == schedule


def test_order_is_kept_even_if_another_is_better() -> None:
    plan = plan_for_order(diamond(), range(6), Request(), Deadline(60))
    assert (plan.schedule, plan.arena_nbytes, plan.status) == ((0, 1, 2, 3, 4, 5), 210, "feasible")


def test_budget_met_by_repeating_an_op_is_not_proved_cheapest() -> None:
    plan = plan_for_order(diamond(), (0, 1, 3, 0, 2, 4, 5), Request(budget_nbytes=500), Deadline(60))
    assert (plan.status, plan.cost, plan.cost_bound) == ("feasible", 7.0, 6.0)


@pytest.mark.parametrize(("budget", "status"), [(109, "infeasible"), (150, "unknown"), (210, "optimal")])
def test_status_under_a_budget(budget: int, status: str) -> None:
    plan = plan_for_order(diamond(), range(6), Request(budget_nbytes=budget), Deadline(60))
    assert plan.status == status


def test_schedule_that_reads_too_early_is_refused() -> None:
    with pytest.raises(PlanError, match="before its producer has run"):
        plan_for_order(diamond(), (1, 0, 2, 3, 4, 5), Request(), Deadline(60))
