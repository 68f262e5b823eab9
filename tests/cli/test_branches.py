# ruff: noqa: SIM108 (TVMScript has no conditional expression)
"""A model with an If: what its branches allocate beside the arena is told apart from it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_memopt as mo
from tests.cases.make_cases import write_case
from tvm_memopt.cli.measured import Comparison
from tvm_memopt.graph import read_plan
from tvm_memopt.passes.build import build_planned
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import measure_memory


@I.ir_module
class Branches:
    """A result that only one branch makes, which is as large as the arena."""

    @R.function
    def main(c: R.Tensor((), "bool"), x: R.Tensor((16, 64), "float32")) -> R.Tensor((16, 64), "float32"):
        a = R.nn.softmax(x)
        if c:
            r = R.nn.softmax(a)
        else:
            r = a
        return R.nn.softmax(r)


@pytest.fixture(scope="module")
def measured():
    build = build_planned(Branches, tvm.target.Target("llvm"), PlanOptions(time_limit=1))
    function = build.planned.functions["main"]
    inputs = [np.array(True), np.random.default_rng(0).standard_normal((16, 64)).astype("float32")]
    return Comparison(function.plan.arena_nbytes, 0, measure_memory(build.executable, inputs), arena_position=0)


def test_the_arena_is_the_first_storage(measured):
    assert measured.planned_arena_nbytes > 0
    assert measured.arena_as_planned is True
    assert measured.beside_arena_nbytes > 0


def test_no_other_size_passes_for_the_arena(measured):
    first, *others = measured.planned.storages
    beside = {storage.nbytes for storage in others} - {first.nbytes}
    for nbytes in (first.nbytes // 2, first.nbytes * 2, *beside):
        assert replace(measured, planned_arena_nbytes=nbytes).arena_as_planned is False


def test_a_storage_of_a_branch_does_not_pass_for_the_arena(measured):
    """The arena has twice the size that was planned; the branches' tensors have exactly it."""
    first, *others = measured.planned.storages
    larger = replace(measured.planned, storages=(replace(first, nbytes=2 * first.nbytes), *others))
    assert first.nbytes in {storage.nbytes for storage in others}
    assert replace(measured, planned=larger).arena_as_planned is False


def test_no_arena_beside_branches_is_not_judged(measured):
    assert replace(measured, planned_arena_nbytes=0).arena_as_planned is None


def test_a_model_with_an_if_is_measured_by_the_command(command, tmp_path):
    write_case("branch", tmp_path)
    module = tmp_path / "branch.so"
    result = command("optimize", tmp_path / "branch.onnx", "-o", module, "--measure", "--json")
    found = json.loads(result.out)["measured"]
    assert found["planned_arena_nbytes"] == found["planned"]["storage_nbytes"] > 0
    assert found["arena_as_planned"] is True
    assert found["beside_arena_nbytes"] == 0
    assert found["outputs_equal"] is True
    assert found["planned"]["total_nbytes"] <= found["unmodified"]["total_nbytes"]
    assert "as measured" in command("run", module).out


def test_a_plan_of_a_model_with_an_if_is_written_and_followed(command, tmp_path):
    model = write_case("branch", tmp_path)
    graph, plan = tmp_path / "graph.json", tmp_path / "plan.json"
    assert command("graph", model, "-o", graph).status == 0
    assert command("plan", graph, "-o", plan).status == 0
    assert command("check", graph, plan).status == 0
    result = command("optimize", model, "-o", tmp_path / "branch.so", "--plan", plan, "--json")
    assert result.status == 0, result.err
    assert json.loads(result.out)["arena_nbytes"] == json.loads(plan.read_text())["arena_nbytes"]


def test_the_plan_of_the_api_has_the_notes_that_the_command_prints(command, tmp_path):
    model = tmp_path / "branches.py"
    model.write_text(Branches.script())
    result = command("optimize", model, "-o", tmp_path / "branches.so", "--plan", tmp_path / "plan.json")
    assert result.status == 0, result.err
    _, plan = mo.optimize(mo.import_model(str(model)), "llvm", time_limit=1)
    assert any("not both branches make" in note for note in plan.notes)
    for note in plan.notes:
        assert note in result.err
    assert read_plan(tmp_path / "plan.json").notes == plan.notes
