"""Predicted schedules as the first candidates of a tuning run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tvm
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.data.record_files import NO_TIME
from tvm_memopt.cost_model.measure.devices import Device, device_type
from tvm_memopt.cost_model.tuner.predicted.choices import Found
from tvm_memopt.cost_model.tuner.predicted.scheduler import record


@dataclass(frozen=True)
class _Start:
    task: Task
    record: ms.database.TuningRecord
    candidate: ms.MeasureCandidate


def measure_starts(
    found: Mapping[str, Found], tasks: Sequence[Task], target: tvm.target.Target, device: Device,
    database: ms.database.Database, most: int,
) -> list[ms.runner.RunnerResult]:  # fmt: skip
    """Measure the best predicted schedule of each task that has no record yet, and add the records to ``database``.

    ``most``: number of measurements, for the kernels that take most of the predicted time.
    """
    starts = _starts(found, tasks, target, database)[:most]
    if not starts:
        return []
    built = device.builder.build([ms.builder.BuilderInput(start.candidate.sch.mod, target) for start in starts])
    ready = [number for number, one in enumerate(built) if one.error_msg is None]
    inputs = [
        ms.runner.RunnerInput(built[n].artifact_path, device_type(target), starts[n].candidate.args_info) for n in ready
    ]
    results = [ms.runner.RunnerResult(None, one.error_msg or "not run") for one in built]
    for number, future in zip(ready, device.runner.run(inputs), strict=True):
        results[number] = future.result()
    for start, result in zip(starts, results, strict=True):
        seconds = [float(s) for s in result.run_secs or [NO_TIME]]
        known = start.record
        database.commit_tuning_record(
            ms.database.TuningRecord(known.trace, known.workload, seconds, target, known.args_info)
        )
    return results


def _starts(
    found: Mapping[str, Found], tasks: Sequence[Task], target: tvm.target.Target, database: ms.database.Database
) -> list[_Start]:
    """Those of tasks without records, the heaviest first."""
    starts = []
    for task in sorted(tasks, key=lambda t: -t.weight * found[t.name].best().seconds if t.name in found else 0.0):
        if task.name not in found or not found[task.name].choices or database.has_workload(task.mod):
            continue
        made = record(found[task.name].choices[0], task, database, target)
        starts.append(_Start(task, made, made.as_measure_candidate()))
    return starts
