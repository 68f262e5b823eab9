"""The public API: plan a whole module, or run single stages."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Plan
from tvm_memopt.targets import DeviceProfile, device_profile

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.passes.relax.planning import KernelCosts
    from tvm_memopt.passes.schedules import Scheduler

Schedules: TypeAlias = "str | Path"


def optimize(
    mod: tvm.IRModule,
    target: str | tvm.target.Target | None = None,
    budget: str | int | None = None,
    time_limit: float = 10.0,
    *,
    seed: int = 0,
    threads: int | None = None,
    caller_arena: bool = False,
    fold_data_movement: str = "auto",
    split: str = "auto",
    narrow: str = "auto",
    integer: bool | None = None,
    overlap: str = "auto",
    io_in_arena: str = "",
    inplace: bool = True,
    measure_costs: bool = False,
    kernel_costs: KernelCosts | None = None,
    plan: Plan | None = None,
    strict: bool = False,
    device: str | os.PathLike[str] | DeviceProfile | None = None,
    schedules: Schedules = "none",
    schedule_seconds: float = 90.0,
) -> tuple[tvm.IRModule, Plan | None]:
    """Lower ``mod`` for ``target`` and plan its memory.

    ``device``: a name such as ``"cortex-m7"``, a TOML file's path, or a profile; it gives the target, unless one is
    given, and ``plan.notes`` says whether the plan fits its memory. Without a budget, a plan that does not fit is
    searched again, within what the device has left. ``budget``: upper limit on the arena, as bytes, ``"192KiB"``, or
    ``"80%"`` of the peak of the given order. ``time_limit``: search time for each function, in seconds. ``plan``:
    follow this plan of the main function. ``schedules``: ``"predicted"`` gives each kernel the best schedule by
    prediction, within ``schedule_seconds``; a path names the work folder of ``tvm-memopt tune``. Both change the last
    bits of outputs. The other arguments are those of PlanOptions.

    Returns (the planned module, its main function's plan). The module compiles with ``tvm.compile``. ``plan.notes``
    lists what the plan does not cover. If no function can be planned, the plan is None, the module is as TVM lowers it
    and a warning says why; with ``strict``, MemoptError. Raises InfeasibleBudgetError or NoPlanError over budget.
    """
    from tvm_memopt.passes.compile import compile_module, make_target
    from tvm_memopt.passes.relax.planning import PlanOptions

    profile = None if device is None else device_profile(device)
    source = _scheduler(schedules, schedule_seconds, seed)
    options = PlanOptions(
        budget=budget, time_limit=time_limit, seed=seed, threads=threads, caller_arena=caller_arena,
        fold_data_movement=fold_data_movement, split=split, narrow=narrow, integer=integer, overlap=overlap,
        io_in_arena=io_in_arena, inplace=inplace, measure_costs=measure_costs, kernel_costs=kernel_costs, plan=plan,
        strict=strict, device=profile,
    )  # fmt: skip
    found = compile_module(mod, make_target(_target(target, profile)), options, schedules=source)
    return found.planned.mod, found.plan


def _target(target: str | tvm.target.Target | None, device: DeviceProfile | None) -> str | tvm.target.Target:
    """The given target, or that of the device."""
    if target is not None:
        return target
    if device is None:
        raise MemoptError("nothing says what to compile for: give a target such as 'llvm', or a device")
    return json.dumps(dict(device.target))


def pipeline(
    budget: str | int | None = None,
    time_limit: float = 10.0,
    *,
    schedules: Schedules = "none",
    schedule_seconds: float = 90.0,
    seed: int = 0,
    **options: Any,
) -> tvm.transform.Pass:
    """A Relax pipeline for ``tvm.compile(mod, target, relax_pipeline=...)``, TVM's own with the memory planner in it.

    ``schedules``, ``schedule_seconds``: as in optimize. The other arguments are those of passes.pipeline.pipeline:
    ``threads``, ``caller_arena``, ``fold_data_movement``, ``split``, ``overlap``, ``inplace``, ``measure_costs``,
    ``kernel_costs``, ``plan``, ``strict``, ``device`` and ``on_planned``.

    Raises InfeasibleBudgetError or NoPlanError if the budget is not met.
    """
    from tvm_memopt.passes.pipeline import pipeline as planned

    source = _scheduler(schedules, schedule_seconds, seed)
    return planned(budget, time_limit, seed=seed, schedules=source, **options)


def register_pipeline() -> None:
    """Register ``relax_pipeline="memopt"``, which is ``pipeline``, with TVM. Repeated calls have no effect."""
    from tvm import relax

    if "memopt" not in relax.pipeline.PIPELINE_MAP:
        relax.register_pipeline("memopt")(pipeline)


def _scheduler(schedules: Schedules, seconds: float, seed: int) -> Scheduler | None:
    if schedules == "none":
        return None
    from tvm_memopt.cost_model.tuner.schedules import scheduler

    return scheduler(schedules, seconds, seed)


def extract(mod: tvm.IRModule, target: str | tvm.target.Target = "llvm", function: str | None = None) -> Graph:
    """Extract the operator graph of ``mod`` after TVM's own fusion and lowering for ``target``.

    Kernels are in their smallest form, and outputs may overlap inputs wherever that is safe: each plan of optimize is a
    plan of this graph. ``function``: name of the function; by default ``main``, or the only function.
    """
    from tvm_memopt.passes.compile import lower, main_function
    from tvm_memopt.passes.relax.planning import PlanOptions, extract_module

    lowered, chosen = lower(mod, target)
    with chosen:
        functions = extract_module(lowered, chosen, PlanOptions(overlap="always")).functions
    graph: Graph = functions[function or main_function(functions)].graph
    return graph
