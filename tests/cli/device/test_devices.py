"""--device: the devices are listed, a plan says whether it fits, and what cannot be compiled is explained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import assert_refused, nothing_left_behind
from tests.targets.test_elf import elf
from tvm_memopt.graph import check, read_graph, read_plan
from tvm_memopt.targets import builtin_devices

# Of graph.json: inputs and outputs have 64 KiB, the smallest arena 176 KiB, one with repeats 160 KiB.
IO = 64 * 1024
LINES = """
name = "board"
description = "a board"
ram = "{ram}"
cores = 1
[target]
kind = "llvm"
mtriple = "{triple}"
[sustained]
flops-per-second = 1e7
bytes-per-second = 1e8
call-seconds = 1e-6
"""


@pytest.fixture
def board(tmp_path: Path):
    """The file of a device with this much RAM."""

    def write(ram: int | str, triple: str = "thumbv7em-none-eabi") -> Path:
        path = tmp_path / "board.toml"
        path.write_text(LINES.format(ram=ram, triple=triple))
        return path

    return write


def test_the_devices_are_listed_and_one_is_shown_in_full(command):
    listed = command("devices")
    assert (listed.status, listed.err) == (0, "")
    assert [line.split()[0].rstrip(",") for line in listed.out.splitlines()[1:]] == list(builtin_devices())
    shown = command("devices", "cortex-m7")
    assert "RAM 320 KiB, flash 1 MiB" in shown.out
    assert "compiler: arm-none-eabi-gcc (the Debian package gcc-arm-none-eabi)" in shown.out
    assert "source: ST datasheet" in shown.out


def test_the_devices_as_json(command):
    listed = json.loads(command("devices", "--json").out)["devices"]
    assert [one["name"] for one in listed] == list(builtin_devices())
    one = json.loads(command("devices", "hexagon", "--json").out)
    assert (one["name"], one["target"]["mcpu"], one["memories"][1]["name"]) == ("hexagon-v68", "hexagonv68", "vtcm")


def test_a_wrong_device_is_one_line(command, made, tmp_path, board):
    with nothing_left_behind(tmp_path):
        for verb in ("plan", "sweep"):
            out = ["-o", tmp_path / "new.json"]
            assert_refused(command(verb, made / "graph.json", *out, "--device", "toaster"), "device 'toaster'", "host")
    path = board("much")
    with nothing_left_behind(tmp_path):
        assert_refused(command("devices", path), "board.toml", "key 'ram'", "'much'")


def test_a_target_and_a_device_are_two_answers_to_one_question(command, made, tmp_path):
    result = command(
        "optimize", made / "model.onnx", "-o", tmp_path / "m.so", "--target", "llvm", "--device", "cortex-a72"
    )
    assert_refused(result, "--target", "--device cortex-a72", "leave one of them out")


def test_a_plan_for_a_device_says_that_it_fits(command, made, tmp_path):
    result = command("plan", made / "graph.json", "-o", tmp_path / "plan.json", "--device", "cortex-m7")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[1].startswith("fits cortex-m7: 245,760 of 327,680 bytes of RAM")
    plan = read_plan(tmp_path / "plan.json")
    assert plan.cost == plan.base_cost
    assert plan.notes == (result.out.splitlines()[1],)


def test_a_plan_that_is_too_large_is_searched_again_within_the_device(command, made, tmp_path, board):
    path = board(IO + 176 * 1024 - 1)
    result = command("plan", made / "graph.json", "-o", tmp_path / "plan.json", "--device", path, "--time-limit", 2)
    assert (result.status, result.err) == (0, "")
    assert "fits board" in result.out
    plan = read_plan(tmp_path / "plan.json")
    check(read_graph(made / "graph.json"), plan)
    assert plan.cost > plan.base_cost
    assert plan.arena_nbytes <= 176 * 1024 - 1


def test_a_plan_that_cannot_fit_is_written_with_the_bytes_that_are_missing(command, made, tmp_path, board):
    result = command("plan", made / "graph.json", "-o", tmp_path / "plan.json", "--device", board(IO + 1024))
    assert result.status == 3
    assert "does not fit board, by 179,200 bytes of RAM" in result.out
    assert result.err.startswith("tvm-memopt: error: does not fit board, by 179,200 bytes of RAM: the budget of 1024")
    plan = read_plan(tmp_path / "plan.json")
    check(read_graph(made / "graph.json"), plan)
    assert plan.status == "optimal"
    assert plan.notes[0].startswith("does not fit board")


def test_no_arena_is_searched_for_where_inputs_and_outputs_fill_the_ram(command, made, tmp_path, board):
    result = command("plan", made / "graph.json", "-o", tmp_path / "plan.json", "--device", board(IO))
    assert result.status == 3
    assert "the tensors outside the arena leave no RAM for it" in result.err


def test_a_budget_takes_the_place_of_the_devices_memory(command, made, tmp_path, board):
    result = command(
        "plan", made / "graph.json", "-o", tmp_path / "plan.json", "--device", board(IO + 1024), "--budget", "100%"
    )
    assert (result.status, result.err) == (0, "")
    assert "does not fit board" in result.out


def test_a_sweep_says_which_budgets_fit(command, made, board):
    result = command("sweep", made / "graph.json", "--budgets", "100%,90%", "--device", board(IO + 180224))
    assert result.status == 0
    assert result.out.splitlines()[-1] == "plans for budgets up to 235,930 bytes fit board"
    small = command("sweep", made / "graph.json", "--budgets", "100%,90%", "--device", board(IO + 1024))
    assert "no plan of the sweep fits; the smallest does not fit board, by" in small.out


def test_a_model_is_lowered_for_the_device(command, made, tmp_path):
    graphs = []
    for device in ("host", "cortex-m4"):
        path = tmp_path / f"{device}.json"
        assert command("graph", made / "model.onnx", "-o", path, "--device", device).status == 0
        graphs.append(read_graph(path))
    assert graphs[0].base_cost < graphs[1].base_cost


def test_a_module_is_linked_by_the_compiler_of_the_device_and_says_that_it_fits(command, made, tmp_path, monkeypatch):
    compiler = tmp_path / "aarch64-linux-gnu-g++"
    compiler.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho linked > "$2"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "m.so", "--device", "cortex-a72")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[1].startswith("fits cortex-a72: ")
    assert (tmp_path / "m.so").read_text() == "linked\n"


def test_a_module_that_does_not_fit_is_written_and_the_status_says_so(command, made, tmp_path, board):
    path = board("24KiB", triple="aarch64-linux-gnu")
    compiler = tmp_path / "link"
    compiler.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho linked > "$2"\n')
    compiler.chmod(0o755)
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "m.so", "--device", path, "--cc", compiler)
    assert result.status == 3
    assert "does not fit board, by" in result.out
    assert (tmp_path / "m.so").is_file()


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--device", "cortex-m7", ["no operating system that could load a shared library", "tvm-memopt plan"]),
        ("--target", "c", ["target c makes C source", "--device"]),
        ("--target", "qcom/hexagon-v68", ["kind hexagon", "--device hexagon-v68"]),
    ],
)
def test_what_makes_no_shared_library_is_explained_before_any_work(command, made, tmp_path, option, value, says):
    with nothing_left_behind(tmp_path):
        assert_refused(command("optimize", made / "model.onnx", "-o", tmp_path / "m.so", option, value), *says)


def test_a_module_for_another_machine_is_not_run_here(command, tmp_path):
    result = command("run", elf(tmp_path / "m.so", 164, bits=32))
    assert_refused(result, "m.so: has code for Hexagon", "tvm-memopt run --rpc HOST:PORT")


def test_collecting_for_another_machine_needs_a_device(command, tmp_path):
    result = command("collect", "--out", tmp_path / "data", "--programs", "1", "--device", "cortex-a72")
    assert_refused(result, "--device cortex-a72 is another machine", "--tracker", "--key")
