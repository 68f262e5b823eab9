"""Times of kernels without a schedule, compared with the tuned ones: after few trials a schedule may be slower."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import tvm
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.measure.devices import Device, device_type
from tvm_memopt.cost_model.measure.sampling import candidate_hash
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    from tvm_memopt.cost_model.tuner.tuning import Tuned

NAME = "untuned.json"
"""File in the work folder: seconds by structural hash of the module."""


def read_untuned(folder: Path) -> dict[str, float]:
    """Read the seconds by structural hash stored in ``folder``. Raises MemoptError if the file is damaged."""
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in content.items()}
    except OSError as error:
        raise MemoptError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise MemoptError(f"{path}: is damaged ({error}): delete it to time the kernels again") from error


def untuned_seconds(
    tuned: Tuned, tasks: list[Task], target: tvm.target.Target, device: Device, folder: Path
) -> dict[str, float]:
    """Measure, without a schedule, each task that has a schedule in ``tuned``. Returns median seconds by name.

    Tasks whose measurement fails are left out. Each time is stored in ``folder`` immediately, and stored times are not
    measured again. Nothing is measured after an interruption; Ctrl-C during this function counts as one. Raises
    MemoptError if the stored file is damaged.
    """
    known = read_untuned(folder)
    keys = {task.name: str(candidate_hash(task.mod)) for task in tasks if task.name in tuned.best}
    missing = {keys[task.name]: task.mod for task in tasks if task.name in keys and keys[task.name] not in known}
    try:
        for key, mod in missing.items() if not tuned.interrupted else ():
            seconds = _measured(mod, target, device)
            if seconds is not None:
                known[key] = seconds
                write_text_atomic(folder / NAME, json.dumps(known) + "\n")
    except KeyboardInterrupt:
        tuned.interrupted = True
    return {name: known[key] for name, key in keys.items() if key in known}


def keep_what_is_faster(tuned: Tuned, tasks: list[Task], target: tvm.target.Target, untuned: dict[str, float]) -> None:
    """Keep in ``tuned.database`` only the schedules that are faster than the kernel without one."""
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


def _measured(mod: tvm.IRModule, target: tvm.target.Target, device: Device) -> float | None:
    (built,) = device.builder.build([ms.builder.BuilderInput(mod, target)])
    if built.error_msg is not None:
        return None
    arguments = ms.arg_info.ArgInfo.from_entry_func(mod)
    (future,) = device.runner.run([ms.runner.RunnerInput(built.artifact_path, device_type(target), arguments)])
    seconds = future.result().run_secs
    return median(float(s) for s in seconds) if seconds else None
