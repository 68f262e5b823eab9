"""The emulated Hexagon device: planned models, candidates and faults over RPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import tvm_memopt as mo
from tests.cli.conftest import Command
from tests.cli.running import run_command
from tests.cli.small_models import two_branches
from tests.frontends.onnx.models import save, value
from tvm_memopt.cost_model.measure.instructions import run_on
from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.emulator import control
from tvm_memopt.targets.emulator.keeper import State
from tvm_memopt.targets.rpc import DeviceError

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module")
def device() -> Iterator[State]:
    """A device under a key of its own, unless the user's own runs."""
    if control.status(hexagon=True) is not None:
        pytest.skip("an emulated Hexagon device is running already")
    try:
        state = control.start(False, "hexagon-test", 1, lambda _line: None, hexagon=True)
    except MemoptError as error:
        pytest.skip(f"the emulator cannot be set up here: {error}")
    yield state
    control.stop(hexagon=True)


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return lambda *arguments: run_command(capfd, *arguments)


def _where(device: State) -> list[str]:
    return ["--tracker", device.tracker, "--key", device.key]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_branches(tmp_path_factory.mktemp("hexagon") / "model.onnx")


def test_a_planned_model_is_right_on_the_device_and_lies_where_its_plan_says(
    device: State, model: Path, command: Command
) -> None:
    program = model.with_name("model.elf")
    built = command("optimize", model, "-o", program, "--device", "hexagon-v66", "--time-limit", 2)
    assert built.status == 0, built.err
    found = command("run", program, "--against", model, *_where(device), "--json")
    assert found.status == 0, found.err
    document = json.loads(found.out)
    assert document["outputs_equal"] is True
    assert document["arena_as_planned"] is True
    assert document["planned"]["arena_nbytes"] == document["planned_arena_nbytes"]
    assert document["planned"]["instructions"] > document["planned"]["packets"] > 0
    here = command("run", program, "--json")
    assert json.loads(here.out)["planned"]["instructions"] == document["planned"]["instructions"]


def test_tune_measures_sixteen_candidates_by_their_instructions(
    device: State, tmp_path: Path, command: Command
) -> None:
    weight = np.random.default_rng(0).standard_normal((16, 16)).astype("float32")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = save(tmp_path / "product.onnx", [node], [value("x", [8, 16])], [value("y", [8, 16])], weights={"w": weight})
    program = tmp_path / "product.elf"
    options = ["--device", "hexagon-v66", "--work-dir", tmp_path / "work", "--trials", 16, "--cost-model", "random"]
    tuned = command(
        "tune",
        model,
        "-o",
        program,
        *options,
        "--timeout",
        300,
        "--time-limit",
        1,
        "--measure",
        "--json",
        *_where(device),
    )
    assert tuned.status == 0, tuned.err
    document = json.loads(tuned.out)
    assert (document["measured"], document["failed"]) == (16, 0), tuned.err
    assert "instructions" in tuned.err
    compared = document["compared"]
    assert compared["arena_as_planned"] is True
    assert compared["planned"]["instructions"] <= compared["unmodified"]["instructions"]
    assert compared["largest_difference"] < 1e-5


def test_a_program_that_crashes_or_is_asked_the_wrong_thing_costs_its_own_call(
    device: State, model: Path, command: Command
) -> None:
    program = str(model.with_name("model.elf"))
    if not Path(program).exists():
        command("optimize", model, "-o", program, "--device", "hexagon-v66", "--time-limit", 2)
    where = mo.Device(tracker=device.tracker, key=device.key)
    with pytest.raises(DeviceError, match="the request is not one for this program"):
        run_on(where, program, b"something else")
    assert command("run", program, *_where(device)).status == 0


def test_candidates_for_hexagon_need_a_device(tmp_path: Path, model: Path, command: Command) -> None:
    options = ["--device", "hexagon-v66", "--work-dir", tmp_path / "work", "--trials", 1, "--cost-model", "random"]
    found = command("tune", model, "-o", tmp_path / "model.elf", *options)
    assert found.status != 0
    assert "emulator start --hexagon" in found.err
