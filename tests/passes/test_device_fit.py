"""Plans for a device: one search where it fits, a second one within its memory where it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_memopt as mo
from tests.solvers.remat.long_skip import long_skip
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Plan, Tensor, check, io_nbytes, weight_nbytes
from tvm_memopt.passes.device_fit import plan_for_device
from tvm_memopt.solvers import Request, solve
from tvm_memopt.targets import DeviceProfile, Rates


def device(ram: int, flash: int | None = None) -> DeviceProfile:
    """A device of which only the memory matters."""
    return DeviceProfile("tiny", "a device", {"kind": "llvm"}, ram, 1, Rates(1e9, 1e9, 0.0), flash)


class Solver:
    """The portfolio, with the budgets that it was asked for."""

    def __init__(self) -> None:
        self.budgets: list[int | None] = []

    def __call__(self, graph: Graph, request: Request) -> Plan:
        self.budgets.append(request.budget_nbytes)
        return solve(graph, request)


@pytest.fixture(scope="module")
def least() -> Plan:
    return solve(long_skip(), Request(time_limit=2))


def _planned(ram: int, solver: Solver, flash: int | None = None, **request: int) -> Plan:
    graph = long_skip()
    plan = plan_for_device(graph, Request(time_limit=2, **request), device(ram + io_nbytes(graph), flash), solver)
    check(graph, plan)
    return plan


def test_inputs_outputs_and_weights_are_beside_the_arena():
    graph = long_skip()
    beside = (Tensor("x", 7, "input", arena=False), Tensor("w", 5, "weight", arena=False))
    view = Tensor("v", 7, "input", arena=False, alias_of=len(graph.tensors))
    more = replace(graph, tensors=(*graph.tensors, *beside, view))
    assert io_nbytes(more) == io_nbytes(graph) + 7
    assert weight_nbytes(more) == weight_nbytes(graph) + 5


def test_a_plan_that_fits_is_searched_once_and_repeats_nothing(least: Plan):
    solver = Solver()
    plan = _planned(least.arena_nbytes, solver)
    assert solver.budgets == [None]
    assert plan.solver["device"]["fits"]
    assert plan.notes[-1].startswith("fits tiny")


def test_a_plan_that_does_not_is_searched_again_with_what_the_device_has(least: Plan):
    solver = Solver()
    plan = _planned(least.arena_nbytes - 1, solver)
    assert solver.budgets == [None, least.arena_nbytes - 1]
    assert plan.solver["device"]["fits"]
    assert plan.cost > plan.base_cost


def test_the_smallest_plan_is_kept_where_nothing_fits_and_the_proof_is_told(least: Plan):
    plan = _planned(1, Solver())
    assert (plan.arena_nbytes, plan.cost) == (least.arena_nbytes, least.cost)
    found = plan.solver["device"]
    assert (found["fits"], found["status"], found["excess_nbytes"]) == (False, "infeasible", least.arena_nbytes - 1)
    assert plan.notes[-1] == found["reason"]
    assert found["reason"].startswith("does not fit tiny, by ")


def test_a_given_budget_is_kept_and_the_device_only_checked(least: Plan):
    solver = Solver()
    plan = _planned(1, solver, budget_nbytes=least.arena_nbytes)
    assert solver.budgets == [least.arena_nbytes]
    assert not plan.solver["device"]["fits"]
    assert "status" not in plan.solver["device"]


def test_short_flash_is_no_reason_to_search(least: Plan):
    solver, graph = Solver(), long_skip()
    heavy = replace(graph, tensors=(*graph.tensors, Tensor("w", 50, "weight", arena=False)))
    plan = plan_for_device(heavy, Request(time_limit=2), device(2**20, flash=20), solver)
    assert solver.budgets == [None]
    assert plan.solver["device"]["reason"] == (
        "does not fit tiny, by 30 bytes of flash: the weights alone need more flash than the device has"
    )


@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((1, 64), "float32")) -> R.Tensor((1, 64), "float32"):
        with R.dataflow():
            wide = R.concat([x, x, x, x], axis=1)
            a = R.exp(wide)
            b = R.sum(a, axis=1, keepdims=True)
            y = R.add(x, b)
            R.output(y)
        return y


def test_a_module_takes_target_and_memory_from_its_device():
    planned, plan = mo.optimize(Module, device="cortex-m7", time_limit=2)
    assert plan is not None
    assert plan.notes[-1].startswith("fits cortex-m7: ")
    assert isinstance(planned, tvm.IRModule)


def test_a_module_that_cannot_fit_is_planned_and_says_so():
    profile = replace(mo.device_profile("cortex-m7"), ram_nbytes=600)
    planned, plan = mo.optimize(Module, device=profile, time_limit=2)
    assert plan is not None
    assert plan.solver["device"]["status"] == "infeasible"
    assert isinstance(planned, tvm.IRModule)


def test_either_a_target_or_a_device_is_needed():
    with pytest.raises(MemoptError, match="give a target such as 'llvm', or a device"):
        mo.optimize(Module)
