"""Schedules for the kernels of a module: where they come from, and which kernels must do with less scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import tvm
import tvm_ffi
from tvm import relax, tirx

from tvm_memopt.graph import Graph, Plan
from tvm_memopt.passes.relax.planning import PlannedModule, PlanOptions, solve_module
from tvm_memopt.passes.tir.threads import with_fitted_threads


class Scheduler(Protocol):
    """A source of schedules, such as cost_model.tuner.predicted.scheduler.PredictedSchedules."""

    def database(self, fused: tvm.IRModule, target: tvm.target.Target) -> Any | None:
        """A MetaSchedule database for the kernels of a fused module, or None to leave all as they are."""

    def leaner(self, kernels: Mapping[str, int]) -> bool:
        """Let the named kernels take at most so many bytes of scratch in the next database, and less than now.

        False: nothing is left to change.
        """


class FixedSchedules:
    """A scheduler with one database and no alternatives."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def database(self, _fused: tvm.IRModule, _target: tvm.target.Target) -> Any:
        """The given database."""
        return self._database

    def leaner(self, _kernels: Mapping[str, int]) -> bool:
        """Nothing can be changed."""
        return False


def apply_schedules(fused: tvm.IRModule, target: tvm.target.Target, database: Any | None) -> tvm.IRModule:
    """Apply the best schedules of a MetaSchedule database. Kernels without one stay unchanged."""
    if database is None:
        return fused
    with target, database:
        scheduled = relax.transform.MetaScheduleApplyDatabase()(fused)
    return with_fitted_threads(fused, scheduled, target)


def with_same_kernels(fused: tvm.IRModule, limits: Mapping[str, int]) -> dict[str, int]:
    """``limits`` of named kernels, extended to all kernels of a module that equal one of them, except in name."""
    hashes = {
        variable.name_hint: int(tvm_ffi.structural_hash(_anonymous(function)))
        for variable, function in fused.functions_items()
        if isinstance(function, tirx.PrimFunc)
    }
    least: dict[int, int] = {}
    for name, limit in limits.items():
        if name in hashes:
            least[hashes[name]] = min(limit, least.get(hashes[name], limit))
    return {name: least[found] for name, found in hashes.items() if found in least}


def _anonymous(function: tirx.PrimFunc) -> tirx.PrimFunc:
    named = function.attrs is not None and "global_symbol" in function.attrs
    return function.without_attr("global_symbol") if named else function


@dataclass
class UnscheduledArena:
    """The arenas that the functions of a module need without schedules. ``lowered``: that module."""

    lowered: tvm.IRModule
    target: tvm.target.Target
    options: PlanOptions

    def exceeded(self, planned: PlannedModule) -> dict[str, int]:
        """The unscheduled arena of each function that has a larger one in ``planned``, in bytes.

        The plan with all kernels in their smallest form comes first. It needs no times of kernels, and often suffices.
        """
        over: dict[str, int] = {}
        for fold in dict.fromkeys(("always", self.options.fold_data_movement)):
            arenas = self._arenas(fold)
            sizes = {name: function.plan.arena_nbytes for name, function in planned.functions.items()}
            over = {name: arenas[name] for name, nbytes in sizes.items() if name in arenas and nbytes > arenas[name]}
            if not over:
                break
        return over

    @cache  # noqa: B019  # the object lives as long as one compilation
    def _arenas(self, fold: str) -> dict[str, int]:
        with self.target:
            planned = solve_module(self.lowered, self.target, replace(self.options, fold_data_movement=fold))
        return {name: function.plan.arena_nbytes for name, function in planned.functions.items()}

    def __hash__(self) -> int:
        return id(self)


def over_budget(planned: PlannedModule) -> dict[str, int]:
    """The budget of each function that does not meet it, in bytes."""
    plans = {name: function.plan for name, function in planned.functions.items()}
    return {n: plan.budget_nbytes or 0 for n, plan in plans.items() if plan.status in ("infeasible", "unknown")}


def scratch_limits(planned: PlannedModule, arenas: Mapping[str, int]) -> dict[str, int]:
    """Bytes of scratch that kernels may have for the functions named in ``arenas`` to fit into so many bytes."""
    found: dict[str, int] = {}
    for name, arena in arenas.items():
        function = planned.functions[name]
        for kernel, limit in _scratch_limits(function.graph, function.plan, arena).items():
            found[kernel] = min(limit, found.get(kernel, limit))
    return found


def _scratch_limits(graph: Graph, plan: Plan, arena: int) -> dict[str, int]:
    """By op name. Of ops at steps that hold too much; if only gaps do, of those at the step that holds most."""
    held = [0] * len(plan.schedule)
    for allocation in plan.allocations:
        for step in range(allocation.first, min(allocation.last, len(plan.schedule) - 1) + 1):
            held[step] += allocation.nbytes
    scratch = [graph.ops[op].workspace for op in plan.schedule]
    excesses = {step: nbytes - arena for step, nbytes in enumerate(held) if nbytes > arena}
    if not any(scratch[step] for step in excesses):
        fullest = max((nbytes for step, nbytes in enumerate(held) if scratch[step]), default=0)
        steps = [step for step, nbytes in enumerate(held) if scratch[step] and nbytes == fullest]
        excesses = dict.fromkeys(steps, max(plan.arena_nbytes - arena, 1))
    found: dict[str, int] = {}
    for step, excess in excesses.items():
        name, limit = graph.ops[plan.schedule[step]].name, max(scratch[step] - excess, 0)
        found[name] = min(limit, found.get(name, limit))
    return found
