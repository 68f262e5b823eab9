from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tvm", reason="devices run TVM's modules")

from tests.rpc_servers import Server, slow_link
from tests.targets.rpc import kernels
from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime import measure_memory, outputs_equal, run_module
from tvm_memopt.runtime.remote import measure_remote
from tvm_memopt.targets.rpc import Device, DeviceError, DeviceLostError, DeviceTimeoutError, NoDeviceError


def call(device, path):
    """``main`` of a library on a vector of ones."""

    def work():
        with device.session() as session:
            module, arguments = session.load(path), session.tensors([np.ones(8, "float32"), np.zeros(8, "float32")])
            with session.doing("calling"):
                module["main"](*arguments)
                return arguments[1].numpy().tolist()

    return device.retried(work)


def test_outputs_on_the_device_are_those_here(server, model):
    path, inputs = model
    assert outputs_equal(Device(rpc=server.address).run(path, inputs), run_module(path, inputs))


def test_memory_on_the_device_is_that_measured_here(server, model):
    path, inputs = model
    found = measure_remote(Device(rpc=server.address), {"one": path}, {"one": inputs}, 2)["one"]
    here = measure_memory(path, inputs)
    for name in ("arena_nbytes", "storages", "workspace_requested_nbytes", "peak_nbytes", "growth_nbytes"):
        assert getattr(found.memory, name) == getattr(here, name)
    assert outputs_equal(found.outputs, run_module(path, inputs))
    assert len(found.seconds) == 2
    assert all(seconds > 0 for seconds in found.seconds)


def test_a_library_is_uploaded_once_in_a_session(server, tmp_path, monkeypatch):
    path = kernels.library(kernels.plus_one(), tmp_path / "kernel.so")
    copy = tmp_path / "copy.so"
    copy.write_bytes((tmp_path / "kernel.so").read_bytes())
    with Device(rpc=server.address).session() as session:
        sent = []
        upload = session.remote.upload
        monkeypatch.setattr(session.remote, "upload", lambda *given: (sent.append(given[1]), upload(*given)))
        session.load(path), session.load(path), session.load(copy)
        assert len(sent) == 1


def test_a_changed_library_of_the_same_name_is_not_taken_for_the_old_one(server, tmp_path):
    device, path = Device(rpc=server.address), tmp_path / "kernel.so"
    with device.session() as session:
        found = []
        for constant in (1.0, 5.0):
            module = session.load(kernels.library(kernels.plus_one(constant), path))
            arguments = session.tensors([np.ones(8, "float32"), np.zeros(8, "float32")])
            module["main"](*arguments)
            found.append(arguments[1].numpy()[0])
    assert found == [2.0, 6.0]


def test_a_kernel_that_crashes_ends_its_session_and_the_server_goes_on(server, tmp_path):
    device = Device(rpc=server.address, attempts=1)
    with pytest.raises(DeviceLostError, match="crashes its server"):
        call(device, kernels.library(kernels.crash(), tmp_path / "crash.so"))
    assert call(device, kernels.library(kernels.plus_one(), tmp_path / "kernel.so")) == [2.0] * 8


def test_a_kernel_that_never_ends_is_ended_and_the_server_goes_on(server, tmp_path):
    device = Device(rpc=server.address, timeout=1)
    with pytest.raises(DeviceTimeoutError, match="timed out"):
        call(device, kernels.library(kernels.never_ends(), tmp_path / "endless.so"))
    assert call(device, kernels.library(kernels.plus_one(), tmp_path / "kernel.so")) == [2.0] * 8


def test_a_library_for_another_machine_is_named(server, model, tmp_path):
    other = bytearray(model[0].read_bytes())
    other[18:20] = (243).to_bytes(2, "little")  # e_machine of the ELF header: RISC-V
    (tmp_path / "other.so").write_bytes(other)
    with pytest.raises(DeviceError, match="built for riscv64"):
        Device(rpc=server.address).run(tmp_path / "other.so", model[1])


def test_a_full_disk_is_one_line(server_binary, model, tmp_path):
    full = Server(server_binary, tmp_path / "full.log", largest_file=4096)
    try:
        with pytest.raises(DeviceError, match=r"has it room|uploading"):
            Device(rpc=full.address).run(*model)
    finally:
        full.stop()


def test_a_slow_link_gives_the_same_outputs(server, model):
    path, inputs = model
    with slow_link(server.address, bytes_per_second=400_000) as address:
        assert outputs_equal(Device(rpc=address).run(path, inputs), run_module(path, inputs))


def test_a_server_that_is_not_there_is_refused_at_once(server):
    server.stop()
    with pytest.raises(NoDeviceError, match="cannot be reached"):
        Device(rpc=server.address).run("nothing.so", [])


def test_lost_work_is_tried_again_with_pauses(monkeypatch):
    pauses, tried = [], []
    monkeypatch.setattr("time.sleep", pauses.append)

    def work():
        tried.append(1)
        if len(tried) < 3:
            raise DeviceLostError("gone")
        return "done"

    assert Device(rpc="board:9090").retried(work) == "done"
    assert pauses == [0.5, 1.0]


@pytest.mark.parametrize("given", [{}, {"tracker": "a:1"}, {"rpc": "a:1", "tracker": "a:1", "key": "k"}])
def test_a_device_that_is_not_named_or_named_twice_is_refused(given):
    with pytest.raises(MemoptError, match="give"):
        Device(**given)


@pytest.mark.parametrize("address", ["localhost", "host:", ":9190", "host:port", "host:0", "host:70000"])
def test_a_malformed_address_is_refused(address):
    with pytest.raises(MemoptError, match="expected host:port"):
        Device(rpc=address)
