"""Candidates timed on devices behind RPC, and what becomes of them when devices go away."""

from __future__ import annotations

import pytest

pytest.importorskip("tvm", reason="devices serve MetaSchedule")
pytest.importorskip("tornado", reason="TVM's RPC tracker needs it")
pytest.importorskip("cloudpickle", reason="TVM's RPC tracker needs it")

from tvm.s_tir import meta_schedule as ms

from tests.cost_model.programs_by_hand import matmul
from tests.rpc_servers import Farm, build_server, start_tracker
from tests.targets.rpc import kernels
from tvm_memopt.cost_model.data.collecting import Orders, collect
from tvm_memopt.cost_model.data.collection import open_folder
from tvm_memopt.cost_model.data.manifest import Manifest
from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.measure.remote import rpc_device
from tvm_memopt.cost_model.measure.timing import Timing
from tvm_memopt.targets.rpc import Device, NoDeviceError

pytestmark = pytest.mark.slow

TARGET = host_target(1)
TIMING = Timing(repeats=2, min_repeat_seconds=1e-4)


@pytest.fixture(scope="module")
def server_binary(tmp_path_factory):
    return build_server(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def tracker():
    running = start_tracker()
    yield running
    running.terminate()


@pytest.fixture
def farm(server_binary, tmp_path, tracker):
    running = Farm(server_binary, tmp_path, tracker)
    yield running
    running.close()


@pytest.fixture
def farm_with_tracker(server_binary, tmp_path):
    running = Farm(server_binary, tmp_path)
    yield running
    running.close()


def where(farm, timeout=30):
    return Device(tracker=farm.address, key="device", timeout=timeout, patience=1)


def submitted(device, mods):
    built = device.builder.build([ms.builder.BuilderInput(mod, TARGET) for mod in mods])
    assert [result.error_msg for result in built] == [None] * len(mods)
    pairs = zip(built, mods, strict=True)
    return device.runner.run(
        [ms.runner.RunnerInput(r.artifact_path, "cpu", ms.arg_info.ArgInfo.from_entry_func(mod)) for r, mod in pairs]
    )


def task():
    return Task("product", matmul(), 1, "by hand", 1)


def test_a_device_killed_in_the_middle_costs_no_candidate(farm):
    first, _ = farm.add(), farm.add()
    with rpc_device(where(farm), 1, 60, TIMING) as device:
        futures = submitted(device, [kernels.plus_one(float(n)) for n in range(8)])
        results = [futures[0].result()]
        first.stop()
        results += [future.result() for future in futures[1:]]
    assert [result.error_msg for result in results] == [None] * 8
    assert all(0 < float(second) < 1 for result in results for second in result.run_secs)


def test_a_kernel_that_crashes_or_never_ends_costs_only_itself(farm):
    farm.add()
    with rpc_device(where(farm), 1, 8, TIMING) as device:
        futures = submitted(device, [kernels.crash(), kernels.never_ends(), kernels.plus_one()])
        crashed, endless, sound = (future.result() for future in futures)
    assert "crashes its server" in crashed.error_msg
    assert "timed out" in endless.error_msg
    assert sound.error_msg is None


def test_when_all_devices_go_away_nothing_is_counted_as_failed_and_a_rerun_completes(farm, tmp_path):
    server, folder, orders = farm.add(), tmp_path / "data", Orders(per_program=4, programs_at_once=1, round_size=4)
    open_folder(folder, Manifest(str(TARGET), "test"))

    def stop_after_the_first(tally, _name):
        if tally.measured == 1:
            server.stop()

    with pytest.raises(NoDeviceError, match="no device with key"), rpc_device(where(farm), 1, 60, TIMING) as device:
        collect(folder, [task()], device, TARGET, orders, stop_after_the_first)
    assert not (folder / "product/failures.jsonl").exists()
    farm.add()
    with rpc_device(where(farm), 1, 60, TIMING) as device:
        tally = collect(folder, [task()], device, TARGET, orders)
    assert (tally.known, tally.measured, tally.failed) == (1, 3, 0)
    assert len((folder / "product/database_tuning_record.json").read_text().splitlines()) == 4


def test_when_the_tracker_goes_away_the_run_ends_with_one_line(farm_with_tracker):
    farm = farm_with_tracker
    farm.add()
    with rpc_device(where(farm), 1, 60, TIMING) as device:
        farm.tracker.terminate()
        with pytest.raises(Exception, match="tracker"):
            submitted(device, [kernels.plus_one()])[0].result()
        assert isinstance(device.failures[0], NoDeviceError)


def test_ctrl_c_keeps_what_was_measured(farm, tmp_path):
    farm.add()
    folder, orders = tmp_path / "data", Orders(per_program=4, programs_at_once=1, round_size=4)
    open_folder(folder, Manifest(str(TARGET), "test"))

    def press(tally, _name):
        if tally.measured == 2:
            raise KeyboardInterrupt

    with rpc_device(where(farm), 1, 60, TIMING) as device:
        tally = collect(folder, [task()], device, TARGET, orders, press)
        processes = [*device.runner.pool._processes, *device.builder.pool._processes]
    assert (tally.interrupted, tally.measured, tally.failed) == (True, 2, 0)
    assert all(process._process is None for process in processes)
    with rpc_device(where(farm), 1, 60, TIMING) as device:
        tally = collect(folder, [task()], device, TARGET, orders)
    assert (tally.known, tally.measured) == (2, 2)


def test_no_device_is_found_out_before_any_work(farm):
    with pytest.raises(NoDeviceError, match="no device with key"), rpc_device(where(farm)):
        pass


def test_earlier_failures_alone_do_not_stop_a_rerun(farm, tmp_path):
    farm.add()
    folder = tmp_path / "data"
    open_folder(folder, Manifest(str(TARGET), "test"))
    (folder / "product").mkdir()
    (folder / "product/failures.jsonl").write_text(
        '{"hash": "1", "cause": "no disk"}\n{"hash": "2", "cause": "no disk"}\n'
    )
    with rpc_device(where(farm), 1, 60, TIMING) as device:
        tally = collect(folder, [task()], device, TARGET, Orders(per_program=2, programs_at_once=1))
    assert tally.measured == 2
    assert "tried again" in tally.warnings[0]
