"""Quantised operators that TVM's TFLite importer converts wrongly or refuses, against LiteRT's reference kernels."""

from pathlib import Path

import numpy as np
import pytest

from tests.frontends.running import run_main
from tvm_memopt.frontends import import_model

tflite = pytest.importorskip("tflite", reason="TFLite models need pip install 'tvm-memopt[tflite]'")
tflite_models = pytest.importorskip("tests.frontends.tflite_models")

SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID


def reference(path: Path, value: np.ndarray) -> np.ndarray:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="the reference numbers come from ai-edge-litert")
    kind = litert.OpResolverType.BUILTIN_REF
    interpreter = litert.Interpreter(str(path), experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def assert_equals_the_reference(tmp_path: Path, content: bytes, value: np.ndarray) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    np.testing.assert_array_equal(run_main(import_model(path), [value])[0], reference(path, value))


def levels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-128, 128, shape, dtype="int8")


@pytest.mark.parametrize(("padding", "window", "stride"), [(VALID, 2, 1), (VALID, 7, 7), (SAME, 3, 2), (SAME, 4, 1)])
def test_average_pooling_rounds(tmp_path: Path, padding, window, stride):
    content = tflite_models.int8_average_pool(padding, window, stride)
    assert_equals_the_reference(tmp_path, content, levels(1, 7, 7, 3))


def test_halves_are_rounded_away_from_zero(tmp_path: Path):
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_models.int8_average_pool(VALID, 2, 2))
    value = np.full((1, 7, 7, 3), -4, "int8")
    value[:, ::2, :, 0] = -5  # mean -4.5
    value[:, :, :, 1], value[:, ::2, :, 1] = 4, 5  # mean 4.5
    value[:, 1::2, 1::2, 2] = -3  # mean -3.75
    found = run_main(import_model(path), [value])[0]
    assert [set(found[..., channel].ravel()) for channel in range(3)] == [{-5}, {5}, {-4}]


@pytest.mark.parametrize("value", [None, -100])
def test_padding_with_the_zero_point_or_a_value(tmp_path: Path, value):
    assert_equals_the_reference(tmp_path, tflite_models.int8_pad(value), levels(1, 4, 4, 2))


def test_a_shape_computed_from_a_quantised_tensor_is_a_number(tmp_path: Path):
    content = tflite_models.int8_reshape_by_shape()
    assert_equals_the_reference(tmp_path, content, levels(2, 4, 6))
    main = import_model(tmp_path / "net.tflite")["main"]
    assert [int(dim) for dim in main.ret_ty.shape] == [2, 6, 4]
    assert len(main.body.blocks[0].bindings) == 1
