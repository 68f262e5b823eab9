"""Lower a module, plan its memory and emit the result. The API, pipelines, passes and commands all use this."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import tvm

from tvm_memopt.errors import InfeasibleBudgetError, MemoptError, NoPlanError
from tvm_memopt.graph import Graph, Plan, given_order
from tvm_memopt.passes.relax.documents import with_documents
from tvm_memopt.passes.relax.lowering import passes_after_fusion, passes_before_plan, passes_until_fusion
from tvm_memopt.passes.relax.planning import PlannedModule, PlanOptions, emit_module, solve_module
from tvm_memopt.passes.relax.schedules import Scheduler, apply_schedules, kernels_over_budget, same_kernels
from tvm_memopt.solvers import Deadline, Request, plan_for_order, solve
from tvm_memopt.solvers.portfolio.verdict import budget_message

_log = logging.getLogger("tvm_memopt")


class StageClock:
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to ``stage``."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


@dataclass(frozen=True)
class Compilation:
    """A module with its memory planned.

    ``planned.mod``: the result. ``lowered``: the lowered module that was planned. ``clock``: seconds of the stages
    "lower", "schedule", "plan" and "apply".
    """

    planned: PlannedModule
    lowered: tvm.IRModule
    clock: StageClock

    @property
    def plan(self) -> Plan | None:
        """The plan of the main function, with its notes, or None if no function could be planned."""
        functions = self.planned.functions
        return functions[main_function(functions)].plan if functions else None


def compile_module(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    options: PlanOptions,
    *,
    schedules: Scheduler | None = None,
    on_planned: Callable[[PlannedModule], None] | None = None,
) -> Compilation:
    """Lower ``mod`` as TVM's fusing CPU pipeline does, plan its functions and rewrite them to follow their plans.

    ``schedules``: where schedules of the kernels come from; None: they are left as they are. If a budget is not met,
    kernels at the peak take schedules with less scratch. ``on_planned``, and the errors raised: see plan_lowered.
    """
    clock = StageClock()
    with target:
        fused = tvm.transform.Sequential(passes_until_fusion(target))(mod)
    clock.lap("lower")
    while True:
        lowered = _lowered(fused, target, schedules, clock)
        seen: list[PlannedModule] = []
        try:
            planned = plan_lowered(lowered, target, options, on_planned=seen.append, clock=clock)
        except (InfeasibleBudgetError, NoPlanError):
            if schedules is not None and schedules.leaner(same_kernels(fused, kernels_over_budget(seen[-1]))):
                continue
            if on_planned is not None:
                on_planned(seen[-1])
            raise
        if on_planned is not None:
            on_planned(seen[-1])
        return Compilation(planned, lowered, clock)


def _lowered(
    fused: tvm.IRModule, target: tvm.target.Target, schedules: Scheduler | None, clock: StageClock
) -> tvm.IRModule:
    """Schedule and lower a fused module."""
    with target:
        database = None if schedules is None else schedules.database(fused, target)
        clock.lap("schedule")
        lowered = tvm.transform.Sequential(passes_after_fusion(target))(apply_schedules(fused, target, database))
    clock.lap("lower")
    return lowered


def plan_lowered(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    options: PlanOptions,
    *,
    keep_order: bool = False,
    on_planned: Callable[[PlannedModule], None] | None = None,
    clock: StageClock | None = None,
) -> PlannedModule:
    """Plan all functions of a lowered module and rewrite it to follow the plans.

    The graphs and plans are stored in its attributes. ``keep_order``: search only offsets. ``on_planned``: called with
    the plans before budgets are enforced. Raises InfeasibleBudgetError or NoPlanError if a budget is not met, and
    BudgetError if it is malformed.
    """
    clock = clock or StageClock()
    with target:
        planned = _with_notes(solve_module(mod, target, options, _given if keep_order else solve))
        clock.lap("plan")
        _log_plans(planned)
        if on_planned is not None:
            on_planned(planned)
        _require_budget(planned)
        emitted = emit_module(mod, planned, caller_arena=options.caller_arena)
        clock.lap("apply")
    return replace(planned, mod=with_documents(emitted, planned.functions))


def _given(graph: Graph, request: Request) -> Plan:
    return plan_for_order(graph, given_order(graph), request, Deadline(request.time_limit))


def _with_notes(planned: PlannedModule) -> PlannedModule:
    """Add to each plan the notes of its function and the reasons why other functions have no plan."""
    skipped = skipped_notes(planned.skipped)
    functions = {
        name: replace(function, plan=replace(function.plan, notes=(*function.notes, *skipped)))
        for name, function in planned.functions.items()
    }
    return replace(planned, functions=functions)


def skipped_notes(skipped: Mapping[str, str]) -> list[str]:
    """One line for each function that has no plan."""
    return [f"function {name}: left as it is: {reason}" for name, reason in skipped.items()]


def _log_plans(planned: PlannedModule) -> None:
    """Log one line for each function and each note on the package's logger."""
    for name, function in planned.functions.items():
        plan = function.plan
        _log.info(
            "%s: %d ops, arena %d bytes, bound %s, %s", name, len(function.graph.ops), plan.arena_nbytes,
            plan.lower_bound_nbytes, plan.status,
        )  # fmt: skip
        for note in function.notes:
            _log.info("%s: %s", name, note)
    for note in skipped_notes(planned.skipped):
        _log.info("%s", note)


def _require_budget(planned: PlannedModule) -> None:
    """Raise InfeasibleBudgetError or NoPlanError for the first function whose plan exceeds its budget."""
    for name, function in planned.functions.items():
        message = f"function {name!r}: {budget_message(function.graph, function.plan)}"
        if function.plan.status == "infeasible":
            raise InfeasibleBudgetError(message)
        if function.plan.status == "unknown":
            raise NoPlanError(message)


def lower(mod: tvm.IRModule, target: str | tvm.target.Target) -> tuple[tvm.IRModule, tvm.target.Target]:
    """Apply dispatch, fusion and lowering to kernels that write into allocated buffers."""
    chosen = make_target(target)
    with chosen:
        return tvm.transform.Sequential(passes_before_plan(chosen))(mod), chosen


def make_target(target: str | tvm.target.Target) -> tvm.target.Target:
    """Make a TVM target from its name or JSON. Raises MemoptError if TVM does not know it."""
    if isinstance(target, tvm.target.Target):
        return target
    try:
        return tvm.target.Target(json.loads(target) if target.lstrip().startswith("{") else target)
    except Exception as error:
        raise MemoptError(
            f"target {target!r} is unknown to TVM ({_last_line(error)}): expected a name such as llvm, or JSON such as "
            '{"kind": "llvm", "mtriple": "aarch64-linux-gnu"}'
        ) from None


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:160] if str(error).strip() else type(error).__name__


def main_function(functions: Iterable[str]) -> str:
    """``main``, or the only function if there is just one. Raises MemoptError if the choice is ambiguous."""
    names = list(functions)
    if "main" in names:
        return "main"
    if len(names) == 1:
        return names[0]
    if not names:
        raise MemoptError(
            "the module has no function that can be planned; optimize compiles it as TVM does and says why"
        )
    raise MemoptError(f"the module has no function 'main' to plan, but {', '.join(names)}: name one")
