"""Kernels as they are without a schedule, timed beside their tuned ones: few trials can end with something slower."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import tvm
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.cost_model.devices import Device, device_type
from tvm_memopt.cost_model.programs import Task
from tvm_memopt.cost_model.sampling import candidate_hash
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    from tvm_memopt.cost_model.tuning import Tuned

NAME = "untuned.json"
"""In the work folder: seconds by structural hash of the module, null for a kernel that gave no time."""


def untuned_seconds(
    tasks: list[Task], target: tvm.target.Target, device: Device, folder: Path
) -> dict[str, float | None]:
    """Median seconds of each task's own module by task name; None where it did not run in time.

    What ``folder`` keeps from an earlier run is not measured again. Raises MemoptError where that file is damaged.
    """
    path = folder / NAME
    known = _read(path)
    keys = {task.name: str(candidate_hash(task.mod)) for task in tasks}
    missing = {keys[task.name]: task.mod for task in tasks if keys[task.name] not in known}
    if missing:
        known |= dict(zip(missing, _measured(list(missing.values()), target, device), strict=True))
        write_text_atomic(path, json.dumps(known) + "\n")
    return {name: known[key] for name, key in keys.items()}


def keep_what_is_faster(
    tuned: Tuned, tasks: list[Task], target: tvm.target.Target, untuned: dict[str, float | None]
) -> None:
    """Leave in ``tuned.database`` only the schedules that beat the kernel without one."""
    tuned.untuned, tuned.unscheduled = untuned, []
    database = ms.database.MemoryDatabase()
    for task in tasks:
        seconds, other = tuned.best.get(task.name), untuned.get(task.name)
        if seconds is None:
            continue
        if other is not None and other <= seconds:
            tuned.unscheduled.append(task.name)
            continue
        best = tuned.database.query_tuning_record(task.mod, target, task.name)
        workload = database.commit_workload(task.mod)
        database.commit_tuning_record(
            ms.database.TuningRecord(best.trace, workload, best.run_secs, best.target, best.args_info)
        )
    tuned.database = database


def _read(path: Path) -> dict[str, float | None]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): None if value is None else float(value) for key, value in content.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise MemoptError(f"{path}: is damaged ({error}): delete it, and the kernels are timed again") from error


def _measured(mods: list[tvm.IRModule], target: tvm.target.Target, device: Device) -> list[float | None]:
    built = device.builder.build([ms.builder.BuilderInput(mod, target) for mod in mods])
    found: list[float | None] = [None] * len(mods)
    runnable = [i for i, result in enumerate(built) if result.error_msg is None]
    inputs = [
        ms.runner.RunnerInput(built[i].artifact_path, device_type(target), ms.arg_info.ArgInfo.from_entry_func(mods[i]))
        for i in runnable
    ]
    for i, future in zip(runnable, device.runner.run(inputs) if inputs else (), strict=True):
        seconds = future.result().run_secs
        if seconds:
            found[i] = median(float(s) for s in seconds)
    return found
