"""Schedules for the kernels of a module: where they come from, and which kernels must do with less scratch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import tvm
import tvm_ffi
from tvm import relax, tirx

from tvm_memopt.graph import Graph, Plan
from tvm_memopt.passes.relax.planning import PlannedModule
from tvm_memopt.passes.tir.threads import with_fitted_threads


class Scheduler(Protocol):
    """A source of schedules, such as cost_model.tuner.predicted.scheduler.PredictedSchedules."""

    def database(self, fused: tvm.IRModule, target: tvm.target.Target) -> Any | None:
        """A MetaSchedule database for the kernels of a fused module, or None to leave all as they are."""

    def leaner(self, kernels: Collection[str]) -> bool:
        """Let the named kernels take less scratch in the next database. False: nothing is left to change."""


class FixedSchedules:
    """A scheduler with one database and no alternatives."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def database(self, _fused: tvm.IRModule, _target: tvm.target.Target) -> Any:
        """The given database."""
        return self._database

    def leaner(self, _kernels: Collection[str]) -> bool:
        """Nothing can be changed."""
        return False


def apply_schedules(fused: tvm.IRModule, target: tvm.target.Target, database: Any | None) -> tvm.IRModule:
    """Apply the best schedules of a MetaSchedule database. Kernels without one stay unchanged."""
    if database is None:
        return fused
    with target, database:
        scheduled = relax.transform.MetaScheduleApplyDatabase()(fused)
    return with_fitted_threads(fused, scheduled, target)


def same_kernels(fused: tvm.IRModule, names: Collection[str]) -> set[str]:
    """Names of all kernels of a module that equal one of the named ones, except in name."""
    hashes = {
        variable.name_hint: int(tvm_ffi.structural_hash(_anonymous(function)))
        for variable, function in fused.functions_items()
        if isinstance(function, tirx.PrimFunc)
    }
    wanted = {hashes[name] for name in names if name in hashes}
    return {name for name, found in hashes.items() if found in wanted}


def _anonymous(function: tirx.PrimFunc) -> tirx.PrimFunc:
    named = function.attrs is not None and "global_symbol" in function.attrs
    return function.without_attr("global_symbol") if named else function


def kernels_over_budget(planned: PlannedModule) -> set[str]:
    """Kernels that run while more bytes are held than the budget, in functions whose budget is not met."""
    found: set[str] = set()
    for function in planned.functions.values():
        if function.plan.status in ("infeasible", "unknown"):
            found |= _over_budget(function.graph, function.plan)
    return found


def _over_budget(graph: Graph, plan: Plan) -> set[str]:
    """Names of ops at steps that hold too much, or alone need too much; if there are none, of ops with a workspace."""
    budget = plan.budget_nbytes or 0
    held = [0] * (len(plan.schedule) + 1)
    for allocation in plan.allocations:
        for step in range(allocation.first, min(allocation.last, len(plan.schedule) - 1) + 1):
            held[step] += allocation.nbytes
    names = {graph.ops[op].name for step, op in enumerate(plan.schedule) if held[step] > budget}
    for number, op in enumerate(graph.ops):
        own = {*graph.reads[number], *graph.writes[number]}
        if sum(graph.tensors[tensor].nbytes for tensor in own) + op.workspace > budget:
            names.add(op.name)
    return names or {op.name for op in graph.ops if op.workspace}
