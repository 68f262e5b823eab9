"""Predicted schedules as the first measurements of a tuning run, on a device that times by number."""

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("tvm.tirx")
import tvm
from tvm import s_tir, te
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.data.record_files import NO_TIME
from tvm_memopt.cost_model.tuner.predicted.choices import Choice, Found
from tvm_memopt.cost_model.tuner.predicted.kernel_search import plain
from tvm_memopt.cost_model.tuner.starts import measure_starts

TARGET = tvm.target.Target({"kind": "llvm", "num-cores": 1})


def _task(name: str, extent: int) -> tuple[Task, Found]:
    x = te.placeholder((extent,), name="x")
    mod = tvm.IRModule({"main": te.create_prim_func([x, te.compute((extent,), lambda i: x[i] * 2, name="y")])})
    schedule = s_tir.Schedule(mod)
    (loop,) = schedule.get_loops(schedule.get_sblock("y"))
    schedule.vectorize(schedule.split(loop, [None, 8])[1])
    choice = Choice(1e-6 * extent, 0, plain(schedule.trace.as_json()))
    return Task(name, mod, 1, "model", 1), Found(Choice(1.0, 0, None), (choice,))


class _Device:
    """Builds nothing; the n-th candidate takes n + 1 seconds, and a failing one none."""

    def __init__(self, failing: int = -1) -> None:
        self.builder = self.runner = self
        self.failing, self.built = failing, 0

    def build(self, inputs: list[Any]) -> list[ms.builder.BuilderResult]:
        self.built += len(inputs)
        return [
            ms.builder.BuilderResult(None, "no") if n == self.failing else ms.builder.BuilderResult(str(n), None)
            for n in range(len(inputs))
        ]

    def run(self, inputs: list[Any]) -> list[Any]:
        results = [ms.runner.RunnerResult([float(i.artifact_path) + 1.0], None) for i in inputs]
        return [SimpleNamespace(result=lambda found=found: found) for found in results]


def _measured(device: _Device, most: int) -> tuple[dict[str, float], Any]:
    made = [_task("0_small", 64), _task("1_large", 640)]
    tasks, found = [task for task, _ in made], {task.name: one for task, one in made}
    database = ms.database.MemoryDatabase()
    measure_starts(found, tasks, TARGET, device, database, most)  # type: ignore[arg-type]
    again = device.built
    measure_starts(found, tasks, TARGET, device, database, 0)  # type: ignore[arg-type]
    assert device.built == again
    records = {t.name: database.query_tuning_record(t.mod, TARGET, t.name) for t in tasks}
    return {name: float(r.run_secs[0]) for name, r in records.items() if r is not None}, records


def test_each_task_gets_its_measured_record_the_heaviest_first() -> None:
    seconds, records = _measured(_Device(), 9)
    assert seconds == {"1_large": 1.0, "0_small": 2.0}
    assert "T.vectorized" in records["1_large"].as_measure_candidate().sch.mod.script()


def test_no_more_are_measured_than_asked_for() -> None:
    assert _measured(_Device(), 1)[0].keys() == {"1_large"}


def test_a_candidate_that_fails_is_recorded_without_a_time() -> None:
    assert _measured(_Device(failing=0), 1)[0].get("1_large", NO_TIME) >= NO_TIME
