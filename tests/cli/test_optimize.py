import json
import os

import numpy as np
import pytest

from tests.cli.running import PREFIX, assert_refused, nothing_left_behind
from tvm_memopt.frontends import import_model, random_inputs
from tvm_memopt.graph import check, find_violations, read_graph, read_plan
from tvm_memopt.runtime import outputs_equal, run_module

OTHER_MACHINE = {"aarch64": ("x86_64-linux-gnu", 62)}.get(os.uname().machine, ("aarch64-linux-gnu", 183))
"""An LLVM triple that is not this machine's, and the number of its machine in an ELF header."""


@pytest.fixture(scope="module")
def expected(made):
    """Inputs of the model, and the outputs of TVM's own build."""
    from tvm_memopt.passes.build import build_unmodified
    from tvm_memopt.passes.compile import make_target

    mod = import_model(made / "model.onnx")
    inputs = random_inputs(mod, 0)
    return inputs, run_module(build_unmodified(mod, make_target("llvm")), inputs)


def test_a_model_becomes_a_module_that_gives_the_same_outputs(command, made, expected, tmp_path):
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"{tmp_path / 'module.so'}: arena ")
    assert [path.name for path in tmp_path.iterdir()] == ["module.so"]
    inputs, outputs = expected
    assert outputs_equal(run_module(tmp_path / "module.so", inputs), outputs)


def test_the_compiled_machine_gives_the_same_outputs(command, made, expected, tmp_path):
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--exec-mode", "compiled")
    assert result.status == 0
    inputs, outputs = expected
    assert outputs_equal(run_module(tmp_path / "module.so", inputs), outputs)


def test_a_plan_file_that_is_absent_is_written(command, made, tmp_path):
    graph, plan = tmp_path / "graph.json", tmp_path / "plan.json"
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--plan", plan)
    command("graph", made / "model.onnx", "-o", graph)
    assert f"plan: written to {plan}" in result.out.splitlines()
    check(read_graph(graph), read_plan(plan))


def test_a_plan_file_that_is_there_is_followed(command, made, expected, edited, tmp_path):
    plan = edited("model_plan.json", _shift_by_one_kibibyte)
    content = plan.read_bytes()
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--plan", plan, "--json")
    assert result.status == 0
    figures = json.loads(result.out)
    assert figures["arena_nbytes"] == read_plan(made / "model_plan.json").arena_nbytes + 1024
    assert figures["plan"] == str(plan)
    assert plan.read_bytes() == content
    inputs, outputs = expected
    assert outputs_equal(run_module(tmp_path / "module.so", inputs), outputs)


def _shift_by_one_kibibyte(plan):
    for allocation in plan["allocations"]:
        allocation["offset"] += 1024
    plan.update(arena_nbytes=plan["arena_nbytes"] + 1024, status="feasible")


def test_a_plan_that_was_edited_into_a_wrong_one_is_refused(command, made, edited, tmp_path):
    plan = edited("model_plan.json", lambda plan: plan["allocations"][0].update(last=0))
    with nothing_left_behind(tmp_path):
        result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--plan", plan)
    first, *listed = result.err.splitlines()
    assert (result.status, result.out) == (2, "")
    assert first.startswith(f"{PREFIX}{plan}: not a valid plan for {made / 'model.onnx'}: ")
    assert "delete the file to have a new plan written there" in first
    command("graph", made / "model.onnx", "-o", tmp_path / "graph.json")
    violations = find_violations(read_graph(tmp_path / "graph.json"), read_plan(plan))
    assert listed == [f"  {violation}" for violation in violations]


def test_a_plan_of_another_model_is_refused_not_ignored(command, made, tmp_path):
    with nothing_left_behind(tmp_path):
        result = command("optimize", made / "model.onnx", "-o", tmp_path / "m.so", "--plan", made / "plan.json")
    assert_refused(result, "plan.json", "'five-buffers'", "main")


def test_a_plan_over_the_budget_is_refused(command, made, tmp_path):
    plan = made / "model_plan.json"
    with nothing_left_behind(tmp_path):
        result = command(
            "optimize", made / "model.onnx", "-o", tmp_path / "m.so", "--plan", plan, "--budget", "20KiB"
        )  # fmt: skip
    assert_refused(result, str(plan), str(read_plan(plan).arena_nbytes), "20480", "delete the file")


def test_a_budget_below_a_working_set_leaves_nothing(command, made, tmp_path):
    with nothing_left_behind(tmp_path):
        result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--budget", "1KiB")
    assert_refused(result, "conv2d1", "23680 bytes", "1024 bytes", status=3)


def test_a_report_has_its_files_and_names_the_page(command, made, tmp_path):
    pytest.importorskip("matplotlib", reason="the report draws charts with matplotlib")
    pytest.importorskip("jinja2", reason="the report is written by jinja2")
    folder = tmp_path / "report"
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--report", folder)
    assert result.status == 0
    assert f"report: {folder / 'report.html'}" in result.out.splitlines()
    assert {path.name for path in folder.iterdir()} == {
        "report.html", "graph.json", "plan.json", "chart.svg", "chart.png",
    }  # fmt: skip
    check(read_graph(folder / "graph.json"), read_plan(folder / "plan.json"))


def test_the_caller_can_own_the_arena(command, made, expected, tmp_path):
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--caller-arena", "--json")
    arena = np.zeros(json.loads(result.out)["arena_nbytes"], np.uint8)
    inputs, outputs = expected
    assert outputs_equal(run_module(tmp_path / "module.so", [*inputs, arena]), outputs)


def test_measuring_says_what_was_saved(command, made, tmp_path, interposer):
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--measure", "--json")
    figures = json.loads(result.out)
    measured = figures["measured"]
    assert measured["outputs_equal"] is True
    assert measured["arena_as_planned"] is True
    assert measured["planned"]["arena_nbytes"] == figures["arena_nbytes"]
    assert measured["planned"]["total_nbytes"] < measured["unmodified"]["total_nbytes"]


def test_another_machine_without_a_cross_compiler_is_one_line(command, made, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    triple, _ = OTHER_MACHINE
    target = json.dumps({"kind": "llvm", "mtriple": triple})
    with nothing_left_behind(tmp_path):
        result = command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--target", target)
    assert_refused(result, f"no cross compiler for {triple}", f"{triple}-g++", "--cc")


def test_another_machine_is_compiled_for_with_its_cross_compiler(command, made, tmp_path):
    compiler = tmp_path / "other-g++"  # hands out the first object that it should link
    compiler.write_text(
        '#!/bin/sh\nfor word; do case "$last" in -o) out="$word";; esac; case "$word" in *lib0.o) object="$word";; '
        'esac; last="$word"; done\ncp "$object" "$out"\n'
    )
    compiler.chmod(0o755)
    triple, machine = OTHER_MACHINE
    target = json.dumps({"kind": "llvm", "mtriple": triple})
    output = tmp_path / "module.so"
    result = command("optimize", made / "model.onnx", "-o", output, "--target", target, "--cc", compiler)
    assert (result.status, result.err) == (0, "")
    assert int.from_bytes(output.read_bytes()[18:20], "little") == machine


def test_another_machine_cannot_be_measured_here(command, made, tmp_path, monkeypatch):
    triple, _ = OTHER_MACHINE
    compiler = tmp_path / f"{triple}-g++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    target = json.dumps({"kind": "llvm", "mtriple": triple})
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "m.so", "--target", target, "--measure")
    assert_refused(result, "--measure", "--target")
