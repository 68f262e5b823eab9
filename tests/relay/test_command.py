"""The command with Relay: graph, plan, optimize and run, and what it refuses."""

from __future__ import annotations

import json
import os
from functools import partial

import pytest

from tests.cli.running import assert_refused, nothing_left_behind, run_command
from tests.cli.small_models import two_branches
from tests.frontends.onnx.models import save, value
from tests.relay.running import outputs_of, same
from tvm_memopt.frontends.inputs import described_arrays
from tvm_memopt.frontends.relay_import import describe_relay_inputs, import_relay
from tvm_memopt.graph import check, read_graph, read_plan
from tvm_memopt.passes import versions
from tvm_memopt.runtime.relay_execute import RelayModule


@pytest.fixture
def command(capfd):
    return partial(run_command, capfd)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    two_branches(made / "model.onnx")
    two_branches(made / "open.onnx", batch="batch")
    return made


def test_a_graph_and_a_plan_of_it(command, folder, tmp_path):
    graph, plan, module = tmp_path / "graph.json", tmp_path / "plan.json", tmp_path / "module.so"
    result = command("graph", folder / "model.onnx", "-o", graph)
    assert (result.status, result.err) == (0, "")
    assert "9 ops" in result.out
    assert command("plan", folder / "model.onnx", "-o", plan, "--time-limit", 2).status == 0
    check(read_graph(graph), read_plan(plan))
    followed = command("optimize", folder / "model.onnx", "-o", module, "--plan", plan, "--time-limit", 2)
    assert f"plan: followed {plan}" in followed.out.splitlines()


@pytest.mark.parametrize("executor", ["aot", "graph", "vm"])
def test_a_module_gives_the_outputs_of_the_unmodified_build(command, folder, tmp_path, executor):
    model, module, plan = folder / "model.onnx", tmp_path / "module.so", tmp_path / "plan.json"
    made = command("optimize", model, "-o", module, "--executor", executor, "--time-limit", 2, "--plan", plan)
    assert (made.status, made.err) == (0, "")
    assert f"{executor} executor: " in made.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["module.so", "module.so.json", "plan.json"]
    result = command("run", module, "--against", model, "--repeats", 2)
    assert (result.status, result.err) == (0, "")
    assert "outputs: equal bit for bit" in result.out.splitlines()


def test_measurements_are_those_of_both_builds(command, folder, tmp_path):
    import tvm_memopt as mo

    module = tmp_path / "module.so"
    words = ("optimize", folder / "open.onnx", "-o", module, "--shape", "image=1,3,16,16", "--time-limit", 2)
    figures = json.loads(command(*words, "--measure", "--json").out)
    assert figures["memory"]["global_workspace"] == figures["arena_nbytes"]
    assert figures["measured"]["planned"] == figures["memory"]
    assert figures["measured"]["outputs_equal"] is True
    assert set(figures["measured"]["seconds"]["wall_median"]) == {"planned", "unmodified"}
    mod = import_relay(folder / "model.onnx")
    arrays = described_arrays(describe_relay_inputs(mod), 0)
    ours = RelayModule(module, "aot", ["image"]).outputs(arrays)
    theirs = outputs_of(mo.relay.build_unmodified(mod, None, None), {"image": arrays[0]})
    assert same(ours, theirs)


def test_a_tflite_file_is_read(command, tmp_path):
    from tests.frontends.tflite_models import conv_and_add

    (tmp_path / "model.tflite").write_bytes(conv_and_add())
    result = command("graph", tmp_path / "model.tflite", "-o", tmp_path / "graph.json")
    assert (result.status, result.err) == (0, "")
    assert read_graph(tmp_path / "graph.json").ops


def test_a_budget_below_the_largest_working_set_is_infeasible(command, folder, tmp_path):
    with nothing_left_behind(tmp_path):
        result = command("optimize", folder / "model.onnx", "-o", tmp_path / "m.so", "--budget", "5%")
    assert_refused(result, "cannot be met", "nn_contrib_conv2d_NCHWc", status=3)


def test_a_target_that_the_wheel_may_miscompile_is_a_warning(command, folder, tmp_path):
    target = '{"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v2"}'
    result = command("graph", folder / "model.onnx", "-o", tmp_path / "g.json", "--target", target)
    assert result.status == 0
    assert result.err.startswith("tvm-memopt: warning: target llvm ")
    assert len(result.err.splitlines()) == 1


def test_an_operator_that_relay_lacks_is_named(command, tmp_path):
    from onnx import helper

    nodes = [helper.make_node("Relu", ["x"], ["y"], "r"), helper.make_node("Frobnicate", ["y"], ["z"], "frob")]
    model = save(tmp_path / "odd.onnx", nodes, [value("x", [1, 4])], [value("z", [1, 4])])
    result = command("graph", model, "-o", tmp_path / "g.json")
    assert_refused(result, "odd.onnx", "does not support Frobnicate (node 'frob')")


REFUSED = {
    "no shape": (["open.onnx"], ["'image' at dimension 0 (batch)", "give --shape image=?,3,16,16"]),
    "symbolic": (["open.onnx", "--shape", "image=n:4,3,16,16"], ["n:4", "give a number, such as 4"]),
    "fold": (["model.onnx", "--fold", "never"], ["--fold cannot be used with Relay"]),
    "split": (["model.onnx", "--split", "never"], ["--split cannot be used with Relay"]),
    "arena": (["model.onnx", "--caller-arena"], ["--caller-arena cannot be used with Relay"]),
    "mode": (["model.onnx", "--exec-mode", "bytecode"], ["--exec-mode cannot be used with Relay", "--executor"]),
    "costs": (["model.onnx", "--predict-costs", "package"], ["--predict-costs cannot be used with Relay"]),
    "relax": (["model.onnx", "--frontend", "relax"], ["Relax is missing", "hhb-tvm", "apache-tvm 0.27 or later"]),
    "sidecar": (["model.onnx", "--plan", "m.so.json"], ["m.so.json", "name another one for the plan"]),
    "target": (["model.onnx", "--target", "none"], ["target 'none' is unknown to TVM"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_relay_cannot_serve_is_one_line(command, folder, monkeypatch, case):
    (model, *options), expected = REFUSED[case]
    monkeypatch.chdir(folder)
    with nothing_left_behind():
        assert_refused(command("optimize", model, "-o", "m.so", *options), *expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("optimize", "script.py", "-o", "m.so"), ["script.py: is a Relax module", "Relay reads ONNX and TFLite"]),
        (("tune", "model.onnx", "-o", "m.so", "--work-dir", "w"), ["auto_scheduler", "mo.relay.default_cost_model"]),
        (("collect", "--out", "data", "--programs", "1"), ["Relax is missing"]),
    ],
)
def test_what_needs_relax_is_one_line(command, folder, monkeypatch, words, expected):
    monkeypatch.chdir(folder)
    (folder / "script.py").write_text("@I.ir_module\nclass M: pass\n")
    with nothing_left_behind():
        assert_refused(command(*words), *expected)


def test_a_plan_for_another_module_is_refused(command, folder, tmp_path):
    from onnx import helper

    plan = tmp_path / "plan.json"
    assert command("plan", folder / "model.onnx", "-o", plan, "--time-limit", 1).status == 0
    model = save(tmp_path / "relu.onnx", [helper.make_node("Relu", ["x"], ["y"], "r")],
                 [value("x", [1, 4])], [value("y", [1, 4])])  # fmt: skip
    result = command("optimize", model, "-o", tmp_path / "m.so", "--plan", plan)
    assert_refused(result, f"{plan}: the plan is for another module")


def test_a_module_without_its_json_file_is_refused(command, tmp_path):
    (tmp_path / "m.so").write_bytes(b"\x7fELF")
    assert_refused(command("run", tmp_path / "m.so"), "m.so.json is missing beside it")


def test_two_tvms_in_one_environment_are_refused(command, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "_version", lambda name: "1.0")
    result = command("graph", folder / "model.onnx", "-o", tmp_path / "g.json")
    assert_refused(result, "apache-tvm 1.0 and hhb-tvm 1.0", "make a new environment")


@pytest.mark.parametrize("executor", ["aot", "graph"])
def test_a_module_for_a_device_says_whether_it_fits(command, folder, tmp_path, executor):
    board, module = tmp_path / "board.toml", tmp_path / "module.so"
    triple = f"{os.uname().machine}-linux-gnu"

    def build(ram):
        board.write_text(
            f'name = "board"\ndescription = "a board"\nram = "{ram}"\ncores = 1\n[target]\nkind = "llvm"\n'
            f'mtriple = "{triple}"\n[sustained]\nflops-per-second = 1e9\nbytes-per-second = 1e9\ncall-seconds = 1e-6\n'
        )
        options = ("--executor", executor, "--time-limit", 2, "--device", board)
        return command("optimize", folder / "model.onnx", "-o", module, *options)

    fitting = build("1MiB")
    assert (fitting.status, fitting.err) == (0, "")
    assert "fits board: " in fitting.out
    assert "weights 10,080" in fitting.out
    small = build("24KiB")
    assert small.status == 3
    assert "does not fit board, by " in small.out
    assert small.err.startswith("tvm-memopt: error: does not fit board, by ")
    assert json.loads((tmp_path / "module.so.json").read_text())["notes"][-1].startswith("does not fit board")
