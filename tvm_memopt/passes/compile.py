"""Lower a module, plan its memory and emit the result. The API, pipelines, passes and commands all use this."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import tvm

from tvm_memopt.errors import BudgetError, InfeasibleBudgetError, MemoptError, NoPlanError, PlanError
from tvm_memopt.graph import Graph, Plan, given_order
from tvm_memopt.passes.device_fit import noted, worth_a_search
from tvm_memopt.passes.narrowing import lowered_choices, with_arithmetic
from tvm_memopt.passes.relax.documents import with_documents
from tvm_memopt.passes.relax.lowering import passes_after_fusion, passes_until_fusion
from tvm_memopt.passes.relax.planning import PlannedModule, PlanOptions, emit_module, solve_module
from tvm_memopt.passes.schedules import (
    Scheduler,
    UnscheduledArena,
    apply_schedules,
    over_budget,
    scratch_limits,
    with_same_kernels,
)
from tvm_memopt.solvers import Deadline, Request, plan_for_order, solve
from tvm_memopt.solvers.portfolio.verdict import budget_message
from tvm_memopt.targets import DeviceProfile
from tvm_memopt.targets.toolchain import with_float_abi

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

    ``planned.mod``: the result. ``lowered``: the module as TVM's own pipeline lowers it, with its schedules if it has
    any. ``clock``: seconds of the stages "lower", "schedule", "plan" and "apply".
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

    ``schedules``: where schedules of the kernels come from; None: they are left as they are. If a budget is not met, or
    without one the arena is larger than without schedules, kernels at the peak take schedules with less scratch.
    ``on_planned``, and the errors raised: see plan_lowered.
    """
    clock = StageClock()
    if schedules is not None:
        return _compile_scheduled(mod, target, options, schedules, on_planned, clock)
    choices = lowered_choices(mod, target, options)
    clock.lap("lower")
    planned = _first_that_plans(choices.modules, target, options, on_planned, clock)
    return Compilation(_with_added(planned, choices.notes), choices.wide, clock)


def _first_that_plans(
    modules: Sequence[tvm.IRModule],
    target: tvm.target.Target,
    options: PlanOptions,
    on_planned: Callable[[PlannedModule], None] | None,
    clock: StageClock,
) -> PlannedModule:
    """Plan the first of ``modules`` that meets the budget, or that the given plan fits."""
    share = replace(options, time_limit=options.time_limit / len(modules))
    for mod in modules[:-1]:
        try:
            planned = plan_lowered(mod, target, share, clock=clock)
        except (InfeasibleBudgetError, NoPlanError, PlanError):
            continue
        if on_planned is not None:
            on_planned(planned)
        return planned
    return plan_lowered(modules[-1], target, share, on_planned=on_planned, clock=clock)


def _compile_scheduled(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    options: PlanOptions,
    schedules: Scheduler,
    on_planned: Callable[[PlannedModule], None] | None,
    clock: StageClock,
) -> Compilation:
    """As compile_module. Kernels are cut at narrow tensors only with ``narrow="always"``: schedules are for TVM's."""
    source, narrow = with_arithmetic(mod, target, options), options.narrow == "always"
    with target:
        passes = passes_until_fusion(target, narrow=narrow, integer=source.integer)
        fused = tvm.transform.Sequential(passes)(source.mod)
    clock.lap("lower")
    unscheduled: UnscheduledArena | None = None
    while True:
        lowered = _lowered(fused, target, schedules, clock)
        seen: list[PlannedModule] = []
        try:
            planned = plan_lowered(lowered, target, options, on_planned=seen.append, clock=clock)
            missed: BudgetError | None = None
            if options.budget is None and options.plan is None:
                unscheduled = unscheduled or UnscheduledArena(_without_schedules(fused, target), target, options)
                over = unscheduled.exceeded(seen[-1])
                clock.lap("plan")
            else:
                over = {}
        except (InfeasibleBudgetError, NoPlanError) as error:
            missed, over = error, over_budget(seen[-1])
        if over and schedules.leaner(with_same_kernels(fused, scratch_limits(seen[-1], over))):
            continue
        if on_planned is not None:
            on_planned(seen[-1])
        if missed is not None:
            raise missed
        return Compilation(_with_added(planned, source.notes), lowered, clock)


def _without_schedules(fused: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    with target:
        return tvm.transform.Sequential(passes_after_fusion(target))(fused)


def _lowered(fused: tvm.IRModule, target: tvm.target.Target, schedules: Scheduler, clock: StageClock) -> tvm.IRModule:
    """Schedule and lower a fused module."""
    with target:
        database = schedules.database(fused, target)
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
        solver = _given if keep_order else solve
        planned = _with_notes(solve_module(mod, target, options, solver))
        if options.device is not None:
            again = replace(options, within_device=True)
            planned = _for_device(options.device, options, planned, lambda: solve_module(mod, target, again, solver))
        clock.lap("plan")
        _log_plans(planned)
        if on_planned is not None:
            on_planned(planned)
        _require_budget(planned)
        emitted = emit_module(mod, planned, caller_arena=options.caller_arena)
        clock.lap("apply")
    return replace(planned, mod=with_documents(emitted, planned.functions))


def _for_device(
    device: DeviceProfile, options: PlanOptions, planned: PlannedModule, again: Callable[[], PlannedModule]
) -> PlannedModule:
    """Note of each plan whether it fits ``device``. Without a budget, plan once more if one does not."""
    if options.budget is not None or options.plan is not None:
        return _noted(device, planned, None)
    functions = planned.functions.values()
    if not any(worth_a_search(device, function.graph, function.plan) for function in functions):
        return _noted(device, planned, planned)
    second = _with_notes(again())
    fits = all(function.plan.status in ("optimal", "feasible") for function in second.functions.values())
    return _noted(device, second if fits else planned, second)


def _noted(device: DeviceProfile, planned: PlannedModule, searched: PlannedModule | None) -> PlannedModule:
    functions = {}
    for name, function in planned.functions.items():
        last = None if searched is None else searched.functions[name].plan
        functions[name] = replace(function, plan=noted(device, function.graph, function.plan, last))
    return replace(planned, functions=functions)


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


def _with_added(planned: PlannedModule, notes: Sequence[str]) -> PlannedModule:
    """Add ``notes`` to the plan of each function."""
    if not notes:
        return planned
    functions = {
        name: replace(function, plan=replace(function.plan, notes=(*function.plan.notes, *notes)))
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


def lower(
    mod: tvm.IRModule,
    target: str | tvm.target.Target,
    narrow: str = "auto",
    integer: bool | None = None,
    device: DeviceProfile | None = None,
) -> tuple[tvm.IRModule, tvm.target.Target]:
    """Apply dispatch, fusion and lowering to kernels that write into allocated buffers.

    ``narrow``, ``integer``, ``device``: see PlanOptions.
    """
    chosen, options = make_target(target), PlanOptions(narrow=narrow, integer=integer, device=device)
    return lowered_choices(mod, chosen, options).modules[0], chosen


def make_target(target: str | tvm.target.Target) -> tvm.target.Target:
    """Make a TVM target from its name or JSON. Raises MemoptError if TVM does not know it."""
    if isinstance(target, tvm.target.Target):
        return target
    try:
        text = target.lstrip().startswith("{")
        return tvm.target.Target(with_float_abi(json.loads(target)) if text else target)
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
