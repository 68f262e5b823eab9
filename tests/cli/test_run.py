import json

import pytest

from tests.cli.running import assert_refused
from tests.cli.small_models import two_branches
from tests.frontends.onnx.models import conv_net
from tvm_memopt.graph import read_plan


@pytest.fixture(autouse=True)
def _measurable(interposer):
    """Every test here counts bytes below the allocator."""


def test_a_module_is_measured_alone(command, made):
    result = command("run", made / "module.so", "--json")
    figures = json.loads(result.out)
    assert (result.status, result.err) == (0, "")
    assert figures["planned"]["arena_nbytes"] == read_plan(made / "model_plan.json").arena_nbytes
    assert figures["arena_as_planned"] is True
    assert figures["unmodified"] is None
    assert figures["outputs_equal"] is None


def test_a_module_is_measured_beside_its_model(command, made):
    result = command("run", made / "module.so", "--against", made / "model.onnx", "--repeats", "3")
    arena = read_plan(made / "model_plan.json").arena_nbytes
    assert (result.status, result.err) == (0, "")
    header, planned, unmodified, *lines = result.out.splitlines()
    assert header.split()[0] == "bytes"
    assert planned.split()[:2] == ["planned", f"{arena:,}"]
    assert unmodified.split()[0] == "unmodified"
    assert lines[0] == f"arena of the plan: {arena:,} bytes, as measured"
    assert "outputs: equal bit for bit" in lines


def test_an_arena_of_the_caller_counts_in_the_total(command, made, tmp_path):
    command("optimize", made / "model.onnx", "-o", tmp_path / "module.so", "--caller-arena")
    figures = json.loads(command("run", tmp_path / "module.so", "--json").out)
    arena = read_plan(made / "model_plan.json").arena_nbytes
    assert figures["caller_arena_nbytes"] == arena
    assert figures["planned"]["arena_nbytes"] == 0
    assert figures["arena_as_planned"] is True
    assert figures["planned"]["total_nbytes"] == arena + figures["planned"]["returned_nbytes"]
    assert f"{arena:,} bytes, passed in by the caller and counted above" in command("run", tmp_path / "module.so").out


def test_shapes_given_to_optimize_need_not_be_given_again(command, made, tmp_path):
    model = two_branches(tmp_path / "model.onnx", batch="batch", input_name="image.1")  # TVM renames it image_1
    assert command("optimize", model, "-o", tmp_path / "m.so", "--shape", "image.1=1,3,16,16").status == 0
    result = command("run", tmp_path / "m.so", "--against", model, "--repeats", "1", "--json")
    assert json.loads(result.out)["outputs_equal"] is True


def test_a_model_with_other_inputs_is_refused(command, made, tmp_path):
    model = conv_net(tmp_path / "other.onnx")
    assert_refused(command("run", made / "module.so", "--against", model), "other.onnx", "'x'", "module.so")


def test_other_outputs_are_an_exit_status_of_one(command, made, tmp_path):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(made / "model.onnx")
    weight = model.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))
    onnx.save(model, tmp_path / "other.onnx")
    result = command("run", made / "module.so", "--against", tmp_path / "other.onnx", "--repeats", "1")
    assert result.status == 1
    assert result.out.splitlines()[-1].startswith("outputs: DIFFERENT, by up to ")
