import json

import pytest

pytest.importorskip("tvm", reason="kernels are TVM's")
pytest.importorskip("psutil", reason="TVM's search imports it")

from tvm.s_tir import meta_schedule as ms

from tests.cost_model.programs_by_hand import matmul
from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.measure.devices import Device, local_device
from tvm_memopt.cost_model.measure.sampling import sample
from tvm_memopt.cost_model.tuner.tuning import Tuned
from tvm_memopt.cost_model.tuner.untuned import NAME, keep_what_is_faster, read_untuned, untuned_seconds
from tvm_memopt.errors import MemoptError


def _tasks():
    return [Task(f"matmul_{n}", matmul(n), 1, "by hand", 1) for n in (16, 24)]


def _searched(tasks, target, seconds):
    """A database with a schedule of each task, said to take so long."""
    database = ms.database.MemoryDatabase()
    for task in tasks:
        candidate = sample(task.mod, target, "default", 1, 0, ms.database.MemoryDatabase())[0]
        workload, times = database.commit_workload(task.mod), [seconds.get(task.name, 1.0)]
        database.commit_tuning_record(
            ms.database.TuningRecord(candidate.sch.trace, workload, times, target, candidate.args_info)
        )
    return Tuned(database, dict(seconds), len(tasks), 0, 0)


def test_only_schedules_that_beat_the_kernel_itself_are_kept():
    tasks, target = _tasks(), host_target(1)
    tuned = _searched(tasks, target, {"matmul_16": 2e-6, "matmul_24": 3e-6})
    keep_what_is_faster(tuned, tasks, target, {"matmul_16": 1e-6, "matmul_24": 4e-6})
    assert tuned.unscheduled == ["matmul_16"]
    assert tuned.database.query_tuning_record(tasks[0].mod, target, "matmul_16") is None
    record = tuned.database.query_tuning_record(tasks[1].mod, target, "matmul_24")
    assert [float(seconds) for seconds in record.run_secs] == [3e-6]


def test_a_kernel_that_does_not_run_in_time_loses_to_any_schedule():
    tasks, target = _tasks(), host_target(1)
    tuned = _searched(tasks, target, {"matmul_16": 2e-6})
    keep_what_is_faster(tuned, tasks, target, {"matmul_24": 1e-6})
    assert tuned.unscheduled == []
    assert tuned.database.query_tuning_record(tasks[0].mod, target, "matmul_16") is not None


def test_kernels_are_timed_once_for_a_folder(tmp_path):
    tasks, target = _tasks(), host_target(1)
    tuned = _searched(tasks, target, {"matmul_16": 2e-6, "matmul_24": 3e-6})
    with local_device() as device:
        found = untuned_seconds(tuned, tasks, target, device, tmp_path)
    assert list(found) == ["matmul_16", "matmul_24"]
    assert all(1e-8 < seconds < 1 for seconds in found.values())
    assert untuned_seconds(tuned, tasks, target, None, tmp_path) == found
    (tmp_path / NAME).write_text(json.dumps([1]))
    with pytest.raises(MemoptError, match="is damaged"):
        untuned_seconds(tuned, tasks, target, None, tmp_path)


def test_a_time_that_did_not_come_is_not_kept_and_an_interruption_measures_nothing(tmp_path):
    tasks, target = _tasks(), host_target(1)
    tuned = _searched(tasks, target, {"matmul_16": 2e-6})
    with local_device(timeout=1e-3) as device:
        assert untuned_seconds(tuned, tasks, target, device, tmp_path) == {}
    assert not (tmp_path / NAME).exists()
    tuned.interrupted = True
    assert untuned_seconds(tuned, tasks, target, None, tmp_path) == {}


def test_ctrl_c_while_kernels_are_timed_keeps_the_times_there_are(tmp_path):
    tasks, target = _tasks(), host_target(1)
    tuned = _searched(tasks, target, {"matmul_16": 2e-6, "matmul_24": 3e-6})

    class Interrupted:
        def __init__(self, device):
            self.device, self.calls = device, 0

        def build(self, inputs):
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return self.device.builder.build(inputs)

    with local_device() as device:
        found = untuned_seconds(tuned, tasks, target, Device(Interrupted(device), device.runner), tmp_path)
    assert list(found) == ["matmul_16"]
    assert tuned.interrupted
    assert list(read_untuned(tmp_path).values()) == list(found.values())
