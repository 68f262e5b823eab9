from __future__ import annotations

from dataclasses import replace

import pytest
from tvm import relax

import tvm_memopt as mo
from tests.passes.relax import networks
from tests.passes.relax.running import HOST, extracted, optimised, random_arrays
from tvm_memopt.graph import Allocation
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.runtime import measure_memory, outputs_equal, run_module
from tvm_memopt.solvers import Deadline, Request, plan_for_order

INPUTS = random_arrays([(16, 24), (24, 8)])


@pytest.fixture(scope="module")
def module():
    return networks.branches_and_joins()


def test_a_budget_that_can_be_met_is_met(module):
    _, free = optimised(module)
    planned, plan = optimised(module, budget=free.arena_nbytes)
    assert plan.arena_nbytes <= plan.budget_nbytes == free.arena_nbytes
    assert measure_memory(relax.build(planned, HOST), INPUTS).arena_nbytes == plan.arena_nbytes


def test_a_budget_below_the_largest_working_set_is_proved_infeasible(module):
    with pytest.raises(mo.BudgetError, match="function 'main': the budget of 64 bytes cannot be met") as raised:
        optimised(module, budget=64)
    assert type(raised.value).__name__ == "InfeasibleBudgetError"
    assert raised.value.exit_status == 3


def test_a_budget_that_the_search_misses_is_no_plan(module, monkeypatch):
    from tvm_memopt.passes import compile as compiling

    def beaten(graph, request):
        plan = mo.solve(graph, Request(time_limit=1))
        return replace(plan, status="unknown", budget_nbytes=plan.arena_nbytes - 1, lower_bound_nbytes=1)

    monkeypatch.setattr(compiling, "solve", beaten)
    with pytest.raises(mo.BudgetError, match="no plan within the budget") as raised:
        optimised(module, budget="1MiB")
    assert type(raised.value).__name__ == "NoPlanError"
    assert raised.value.exit_status == 4


@pytest.mark.parametrize("budget", ["many", "-1", "0", "200 parsecs", 0])
def test_a_malformed_budget_is_refused(budget, module):
    with pytest.raises(mo.BudgetError):
        optimised(module, budget=budget)


def test_the_pipeline_enforces_the_budget_too(module):
    with pytest.raises(mo.BudgetError, match="cannot be met"):
        relax.build(module, HOST, relax_pipeline=mo.pipeline(budget=64))


def test_a_given_plan_is_followed(module):
    graph = extracted(module).graph
    reverse = tuple(_reversed_order(graph))
    plan = plan_for_order(graph, reverse, Request(time_limit=1), Deadline(1))
    planned, used = optimised(module, plan=plan)
    assert used == plan
    assert outputs_equal(
        run_module(relax.build(planned, HOST), INPUTS), run_module(build_unmodified(module, HOST), INPUTS)
    )


def _reversed_order(graph):
    """Topological, the last op first wherever that is possible."""
    waiting = {op: len(graph.predecessors[op]) for op in range(len(graph.ops))}
    while waiting:
        op = max(o for o, n in waiting.items() if n == 0)
        del waiting[op]
        for successor in graph.successors[op]:
            waiting[successor] -= 1
        yield op


def test_a_plan_with_a_life_cut_short_is_refused(module):
    graph = extracted(module).graph
    plan = mo.solve(graph, Request(time_limit=1))
    long = next(i for i, a in enumerate(plan.allocations) if a.last > a.first)
    cut = [replace(a, last=a.first) if i == long else a for i, a in enumerate(plan.allocations)]
    with pytest.raises(mo.PlanError, match="not valid"):
        optimised(module, plan=replace(plan, allocations=tuple(cut)))


def test_a_plan_with_overlapping_tensors_is_refused(module):
    graph = extracted(module).graph
    plan = mo.solve(graph, Request(time_limit=1))
    moved = [Allocation(a.tensor, a.first, a.last, 0, a.nbytes) for a in plan.allocations]
    arena = max(a.end for a in moved)
    with pytest.raises(mo.PlanError, match="share"):
        optimised(module, plan=replace(plan, allocations=tuple(moved), arena_nbytes=arena))


def test_a_plan_of_another_model_is_refused(module):
    graph = extracted(networks.long_chain(2)).graph
    with pytest.raises(mo.PlanError):
        optimised(module, plan=mo.solve(graph, Request(time_limit=1)))


def test_a_plan_that_no_function_bears_the_name_of_is_refused(module):
    plan = replace(mo.solve(extracted(module).graph, Request(time_limit=1)), graph="elsewhere")
    with pytest.raises(mo.PlanError, match="elsewhere"):
        optimised(module, plan=plan)
