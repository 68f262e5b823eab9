"""TFLite models: numbers against the TFLite interpreter, and one-line failures."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.frontends.running import relative_error, run_main
from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import SymbolicDim, import_model, model_inputs, random_inputs

tflite = pytest.importorskip("tflite", reason="TFLite models need pip install 'tvm-memopt[tflite]'")
tflite_models = pytest.importorskip("tests.frontends.tflite_models")


def interpret(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="the reference numbers come from ai-edge-litert")
    interpreter = litert.Interpreter(str(path))
    interpreter.allocate_tensors()
    for details, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], value)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    return path


def failure(path: Path, shapes=None) -> str:
    with pytest.raises(FrontendError) as caught:
        import_model(path, shapes)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_float_model_gives_the_reference_numbers(tmp_path: Path):
    path = written(tmp_path, tflite_models.conv_and_add())
    mod = import_model(path)
    inputs = random_inputs(mod, 0)
    assert relative_error(run_main(mod, inputs)[0], interpret(path, inputs)) < 1e-5


def test_an_int8_model_agrees_within_one_output_step(tmp_path: Path):
    path = written(tmp_path, tflite_models.int8_conv())
    mod = import_model(path)
    assert model_inputs(mod)[0].dtype == "int8"
    inputs = random_inputs(mod, 0)
    found, expected = run_main(mod, inputs)[0], interpret(path, inputs)
    assert len(np.unique(expected)) > 20
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_weights_are_kept_once(tmp_path: Path):
    main = import_model(written(tmp_path, tflite_models.conv_and_add()))["main"]
    assert len(main.params) == 1
    assert "params" not in main.attrs


def test_an_unknown_batch_needs_a_shape(tmp_path: Path):
    path = written(tmp_path, tflite_models.conv_and_add(batch=-1))
    assert "'x' at dimension 0 (unnamed); give --shape x=?,8,8,4" in failure(path)
    assert "cannot keep a symbolic dimension" in failure(path, {"x": (SymbolicDim("n", 2), 8, 8, 4)})
    assert model_inputs(import_model(path, {"x": (2, 8, 8, 4)}))[0].shape == (2, 8, 8, 4)


def test_fixed_shapes_cannot_be_changed(tmp_path: Path):
    path = written(tmp_path, tflite_models.conv_and_add())
    assert "dimension 0 is fixed at 1 in the model, not 2" in failure(path, {"x": (2, 8, 8, 4)})
    assert "no input is named 'y'; the inputs are 'x'" in failure(path, {"y": (1,)})


def test_an_unsupported_operator_is_named_with_its_place(tmp_path: Path):
    message = failure(written(tmp_path, tflite_models.unary(tflite.BuiltinOperator.LSH_PROJECTION)))
    assert "LSH_PROJECTION (operator 0, output tensor 1 'result')" in message
    message = failure(written(tmp_path, tflite_models.unary(tflite.BuiltinOperator.CUSTOM, "MyOp")))
    assert "CUSTOM MyOp (operator 0, output tensor 1 'result')" in message


@pytest.mark.parametrize("kept", [12, 200, 600, 1000])
def test_a_truncated_file_is_one_line(tmp_path: Path, kept):
    message = failure(written(tmp_path, tflite_models.conv_and_add()[:kept]))
    assert "truncated, corrupt" in message


def test_another_file_with_that_extension_is_refused(tmp_path: Path):
    assert "not a TFLite model" in failure(written(tmp_path, b"this is something else entirely"))


def test_without_the_package_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch):
    path = written(tmp_path, tflite_models.conv_and_add())
    monkeypatch.setitem(sys.modules, "tflite", None)
    assert "pip install 'tvm-memopt[tflite]'" in failure(path)
