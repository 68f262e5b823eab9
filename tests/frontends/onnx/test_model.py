"""ONNX models: numbers against ONNX Runtime, folding, and one-line failures."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from tvm import relax

from tests.frontends.running import relative_error, run_main
from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import SymbolicDim, import_model, model_inputs, random_inputs
from tvm_memopt.frontends.onnx import folding as onnx_folding
from tvm_memopt.frontends.relax_types import bounds_of

onnx = pytest.importorskip("onnx", reason="ONNX models need pip install 'tvm-memopt[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="the reference numbers come from ONNX Runtime")
onnx_models = pytest.importorskip("tests.frontends.onnx.models")
write_case = pytest.importorskip("tests.cases.make_cases").write_case


def with_input_shape(path: Path, shape: tuple[int, ...]) -> bytes:
    """The model with another shape of its first input, as ONNX Runtime wants it to be declared."""
    model = onnx.load(path)
    for value, dims in ((model.graph.input[0], shape), (model.graph.output[0], [None] * len(shape))):
        value.CopyFrom(onnx_models.value(value.name, list(dims)))
    return model.SerializeToString()


def assert_matches_onnxruntime(path: Path, mod, seed: int = 0, session_of: bytes | None = None) -> None:
    inputs = random_inputs(mod, seed)
    session = onnxruntime.InferenceSession(session_of or str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    expected = session.run(None, dict(zip(names, inputs, strict=True)))
    found = run_main(mod, inputs)
    assert len(found) == len(expected)
    assert all(relative_error(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))


def failure(path: Path, shapes=None) -> str:
    with pytest.raises(FrontendError) as caught:
        import_model(path, shapes)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_static_model_gives_the_reference_numbers(tmp_path: Path):
    path = onnx_models.conv_net(tmp_path / "net.onnx")
    mod = import_model(path)
    assert [(i.name, i.shape, i.dtype) for i in model_inputs(mod)] == [("x", (1, 3, 8, 8), "float32")]
    assert_matches_onnxruntime(path, mod)


def test_a_dynamic_batch_takes_the_given_size(tmp_path: Path):
    path = onnx_models.conv_net(tmp_path / "net.onnx", "batch")
    mod = import_model(path, {"x": (2, 3, 8, 8)})
    assert mod["main"].ret_ty.shape.values[0].value == 2
    assert_matches_onnxruntime(path, mod)


def test_a_dynamic_batch_can_stay_symbolic_up_to_a_bound(tmp_path: Path):
    path = onnx_models.conv_net(tmp_path / "net.onnx", "batch")
    mod = import_model(path, {"x": (SymbolicDim("n", 4), 3, 8, 8)})
    assert bounds_of(mod["main"]) == {"n": 4}
    assert model_inputs(mod)[0].shape == (4, 3, 8, 8)
    assert str(mod["main"].params[0].ty.shape.values[0]) == "n"
    assert_matches_onnxruntime(path, mod)


@pytest.mark.parametrize("folder", onnx_folding.FOLDERS, ids=lambda folder: folder[0].replace(" ", "-"))
def test_computed_shapes_are_folded_to_static_ones(tmp_path: Path, folder, monkeypatch, caplog):
    monkeypatch.setattr("tvm_memopt.frontends.onnx.model.FOLDERS", (folder,))
    path = onnx_models.computed_reshape(tmp_path / "net.onnx")
    with caplog.at_level(logging.INFO, "tvm_memopt"):
        mod = import_model(path, {"x": (2, 3, 4, 4)})
    assert "as it is: TVM's ONNX importer failed on Reshape (node 'flatten')" in caplog.text
    assert f"{folder[0]}: imported, 0 tensors of unknown size" in caplog.text
    assert [int(dim) for dim in mod["main"].ret_ty.shape.values] == [2, 5]
    assert_matches_onnxruntime(path, mod)


def test_models_past_the_protobuf_limit_fold_through_side_files(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(onnx_folding, "_INLINE_NBYTES", 0)
    path = onnx_models.computed_reshape(tmp_path / "net.onnx")
    assert_matches_onnxruntime(path, import_model(path, {"x": (1, 3, 4, 4)}))


def test_branches_stay_branches(tmp_path: Path):
    path = onnx_models.branches(tmp_path / "net.onnx")
    mod = import_model(path)
    found = []
    relax.analysis.post_order_visit(mod["main"], lambda e: found.append(e) if isinstance(e, relax.If) else None)
    assert len(found) == 1
    x = np.arange(4, dtype="float32")
    assert np.array_equal(run_main(mod, [np.array(True), x])[0], x + 1)
    assert np.array_equal(run_main(mod, [np.array(False), x])[0], x * 2)


@pytest.mark.parametrize("empty", ["initialiser", "constant"])
def test_resize_by_sizes_ignores_its_empty_scales(tmp_path: Path, empty):
    path = onnx_models.resize_to(tmp_path / "net.onnx", empty)
    assert_matches_onnxruntime(path, import_model(path))


def test_weights_in_side_files_are_read(tmp_path: Path):
    path = onnx_models.conv_net(tmp_path / "net.onnx")
    inside = import_model(path)
    onnx.save(onnx.load(path), tmp_path / "out.onnx", save_as_external_data=True, location="out.bin", size_threshold=0)
    outside = import_model(tmp_path / "out.onnx")
    inputs = random_inputs(inside, 3)
    assert np.array_equal(run_main(inside, inputs)[0], run_main(outside, inputs)[0])
    (tmp_path / "out.bin").unlink()
    assert "without its side files" in failure(tmp_path / "out.onnx")


def test_functions_of_the_model_itself_are_inlined(tmp_path: Path):
    double = onnx.helper.make_function(
        "own",
        "Double",
        ["a"],
        ["b"],
        [onnx.helper.make_node("Add", ["a", "a"], ["b"])],
        [onnx.helper.make_opsetid("", 17)],
    )
    model = onnx.load(onnx_models.one_node(tmp_path / "net.onnx", "Double", domain="own"))
    model.functions.append(double)
    onnx.save(model, tmp_path / "net.onnx")
    x = np.ones((1, 4, 8), "float32")
    assert np.array_equal(run_main(import_model(tmp_path / "net.onnx"), [x])[0], x + x)


def test_a_missing_shape_lists_inputs_and_dimensions(tmp_path: Path):
    message = failure(onnx_models.conv_net(tmp_path / "net.onnx", "batch"))
    assert "'x' at dimension 0 (batch)" in message
    assert "--shape x=?,3,8,8" in message


def test_shapes_for_unknown_inputs_and_of_other_ranks_are_refused(tmp_path: Path):
    path = onnx_models.conv_net(tmp_path / "net.onnx", "batch")
    assert "no input is named 'data'; the inputs are 'x'" in failure(path, {"data": (1, 3, 8, 8)})
    assert "input 'x' has 4 dimensions (batch,3,8,8); the shape given has 3" in failure(path, {"x": (1, 3, 8)})


def test_a_fixed_batch_can_be_overridden(tmp_path: Path):
    path = write_case("fixed_batch", tmp_path)
    wanted = {"x": (1, 3, 160, 160)}
    message = failure(path, wanted)
    assert "dimension 0 is fixed at 10 in the model, not 1" in message
    assert "give --override-shape x=1,3,160,160" in message
    mod = import_model(path, override_shapes=wanted)
    assert [int(dim) for dim in mod["main"].ret_ty.shape.values] == [1, 8, 160, 160]
    assert_matches_onnxruntime(path, mod, session_of=with_input_shape(path, wanted["x"]))


def test_an_overriding_shape_keeps_the_rank_and_comes_alone(tmp_path: Path):
    path = write_case("fixed_batch", tmp_path)
    with pytest.raises(FrontendError, match="has 4 dimensions"):
        import_model(path, override_shapes={"x": (1, 3, 32)})
    with pytest.raises(FrontendError, match="both a shape and one that overrides"):
        import_model(path, {"x": (10, 3, 32, 32)}, {"x": (1, 3, 32, 32)})


def test_an_unsupported_operator_is_named_with_its_node(tmp_path: Path):
    message = failure(onnx_models.one_node(tmp_path / "net.onnx", "Det", "determinant"))
    assert "does not support Det (node 'determinant')" in message
    unnamed = failure(onnx_models.one_node(tmp_path / "net.onnx", "Det"))
    assert "does not support Det (the unnamed node that makes 'y')" in unnamed


def test_another_domain_does_not_pass_for_the_standard_operator(tmp_path: Path):
    message = failure(onnx_models.one_node(tmp_path / "net.onnx", "Relu", "mine", domain="com.acme"))
    assert "does not support com.acme::Relu (node 'mine')" in message


def test_a_failing_converter_is_named_with_its_node_and_prints_nothing(tmp_path: Path, capfd):
    nodes = [onnx.helper.make_node("Pad", ["x", "amounts"], ["y"], "dynamic_pad")]
    inputs = [onnx_models.value("x", [2]), onnx_models.value("amounts", [2], onnx.TensorProto.INT64)]
    path = onnx_models.save(tmp_path / "net.onnx", nodes, inputs, [onnx_models.value("y", [None])])
    assert "failed on Pad (node 'dynamic_pad')" in failure(path)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_a_truncated_file_is_one_line(tmp_path: Path):
    path = onnx_models.conv_net(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes()[:-40])
    assert "not a readable ONNX model (truncated, corrupt" in failure(path)


def test_text_in_an_onnx_file_is_one_line(tmp_path: Path):
    path = tmp_path / "net.onnx"
    path.write_text("hello, this is no model\n")
    assert "not a readable ONNX model" in failure(path)


def test_without_the_package_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch):
    path = onnx_models.conv_net(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'tvm-memopt[onnx]'" in failure(path)


def test_without_folding_libraries_the_failure_says_what_would_help(tmp_path: Path, monkeypatch):
    for name in ("onnxruntime", "onnxslim"):
        monkeypatch.setitem(sys.modules, name, None)
    message = failure(onnx_models.computed_reshape(tmp_path / "net.onnx"), {"x": (1, 3, 4, 4)})
    assert "failed on Reshape (node 'flatten')" in message
    assert "pip install 'tvm-memopt[onnx]'" in message
