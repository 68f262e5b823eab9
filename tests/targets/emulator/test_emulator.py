"""The emulated device, from its set-up to a planned model on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("tvm", reason="the device runs TVM's modules")
pytest.importorskip("tornado", reason="TVM's RPC tracker needs it")
pytest.importorskip("onnx", reason="the model is an ONNX file")

from tests.cli.running import run_command
from tests.cli.small_models import two_branches
from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.emulator import control, install
from tvm_memopt.targets.rpc import Address
from tvm_memopt.targets.rpc.tracker import registered

pytestmark = pytest.mark.emulator
TARGET = '{"kind": "llvm", "mtriple": "aarch64-linux-gnu"}'


@pytest.fixture(scope="module")
def device():
    """The light server under a key of its own, unless the user's own emulator is running."""
    if shutil.which("apt-get") is None:
        pytest.skip("the emulator is set up from Debian's packages")
    if control.status() is not None:
        pytest.skip("an emulated device is running already")
    try:
        state = control.start(True, "test", 1, lambda _line: None)
    except MemoptError as error:
        pytest.skip(f"the emulator cannot be set up here: {error}")
    yield state
    control.stop()


def test_a_planned_model_on_the_device_is_as_tvm_builds_it_and_its_arena_as_planned(device, tmp_path, capfd):
    model, module = two_branches(tmp_path / "model.onnx"), tmp_path / "model.so"
    built = run_command(capfd, "optimize", model, "-o", module, "--target", TARGET, "--time-limit", 2)
    assert built.status == 0, built.err
    options = ["--tracker", device.tracker, "--key", device.key, "--repeats", 2, "--json"]
    found = run_command(capfd, "run", module, "--against", model, *options)
    assert found.status == 0, found.err
    document = json.loads(found.out)
    assert document["outputs_equal"] is True
    assert document["arena_as_planned"] is True
    assert document["planned"]["storage_nbytes"] < document["unmodified"]["storage_nbytes"]


def test_the_doctor_finds_the_device_well_and_names_a_wrong_target(device, capfd):
    where = ["--tracker", device.tracker, "--key", device.key]
    well = run_command(capfd, "doctor", *where, "--target", TARGET)
    assert (well.status, "FAIL" in well.out) == (0, False), well.out
    assert "version of the runtime: tvm-ffi" in well.out
    wrong = run_command(capfd, "doctor", *where)
    assert wrong.status == 1
    assert "FAIL a trivial kernel" in wrong.out
    assert "built for x86_64" in wrong.out or install.os.uname().machine != "x86_64"


def test_a_second_device_is_refused_and_the_same_one_is_left_alone(device):
    assert control.start(True, "test", 1, lambda _line: None).pid == device.pid
    with pytest.raises(MemoptError, match="runs already"):
        control.start(True, "other", 1, lambda _line: None)


def test_a_server_that_ends_is_started_again(device):
    before = control.status().servers[0]
    control.os.kill(before, control.signal.SIGKILL)
    while (state := control.status()).servers[0] == before or not control.registered_devices(state):
        assert Path(f"/proc/{device.pid}").exists()
    assert state.restarts == 1


def test_stopping_leaves_no_process_behind(device):
    state = control.status()
    assert control.stop()
    assert control.status() is None
    assert not any(map(_runs, (state.pid, *state.servers)))
    with pytest.raises(MemoptError, match="cannot be reached"):
        registered(Address.parse(state.tracker))
    assert not control.stop()


def _runs(pid):
    """Whether a process runs. One that has ended may wait to be collected by the system's first process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
