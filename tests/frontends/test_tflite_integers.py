"""Quantised TFLite operators in integers, against LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.frontends.running import run_main
from tvm_memopt.frontends import import_model
from tvm_memopt.passes.relax.integer.rewrite import integer_arithmetic

pytestmark = pytest.mark.slow

tflite = pytest.importorskip("tflite", reason="TFLite models need pip install 'tvm-memopt[tflite]'")
models = pytest.importorskip("tests.frontends.tflite_models")
CODE, KIND = tflite.BuiltinOperator, tflite.BuiltinOptions


def tensor(name: str, shape: tuple[int, ...], quantisation: tuple[float, int], data: np.ndarray | None = None):
    return models.TensorSpec(name, shape, "int8", data, quantisation)


def options(name: str, **fields: int) -> Callable:
    def write(builder) -> int:
        getattr(tflite, f"{name}Start")(builder)
        for field, value in fields.items():
            getattr(tflite, f"{name}Add{field}")(builder, value)
        return getattr(tflite, f"{name}End")(builder)

    return write


def binary(code: int, name: str) -> bytes:
    tensors = [tensor("x", (1, 64, 64), (0.07, 5)), tensor("z", (64,), (0.03, -9)), tensor("y", (1, 64, 64), (0.09, 3))]
    relu = tflite.ActivationFunctionType.RELU
    call = models.OperatorSpec(code, [0, 1], [2], getattr(KIND, name), options(name, FusedActivationFunction=relu))
    return models.build(tensors, [call], [0, 1], [2])


def unary(code: int, quantisation: tuple[float, int]) -> bytes:
    tensors = [tensor("x", (1, 4096), (0.07, 5)), tensor("y", (1, 4096), quantisation)]
    return models.build(tensors, [models.OperatorSpec(code, [0], [1])], [0], [1])


def fully_connected() -> bytes:
    rng = np.random.default_rng(0)
    weight, bias = rng.integers(-127, 128, (64, 32), dtype="int8"), rng.integers(-5000, 5000, 64, dtype="int32")
    scale = float(np.float32(0.07) * np.float32(0.01))
    tensors = [
        tensor("x", (64, 32), (0.07, 5)),
        tensor("weight", weight.shape, (0.01, 0), weight),
        models.TensorSpec("bias", (64,), "int32", bias, (scale, 0)),
        tensor("y", (64, 64), (0.3, 5)),
    ]
    kind = KIND.FullyConnectedOptions
    call = models.OperatorSpec(CODE.FULLY_CONNECTED, [0, 1, 2], [3], kind, options("FullyConnectedOptions"))
    return models.build(tensors, [call], [0], [3])


def mean() -> bytes:
    axes = models.TensorSpec("axes", (2,), "int32", np.array([1, 2], "int32"))
    tensors = [tensor("x", (1, 7, 9, 64), (0.05, 3)), axes, tensor("y", (1, 1, 1, 64), (0.011, 3))]
    call = models.OperatorSpec(CODE.MEAN, [0, 1], [2], KIND.ReducerOptions, options("ReducerOptions", KeepDims=True))
    return models.build(tensors, [call], [0], [2])


MODELS = {
    "add": lambda: binary(CODE.ADD, "AddOptions"),
    "subtract": lambda: binary(CODE.SUB, "SubOptions"),
    "multiply": lambda: binary(CODE.MUL, "MulOptions"),
    "quantize": lambda: unary(CODE.QUANTIZE, (0.05, -7)),
    "logistic": lambda: unary(CODE.LOGISTIC, (1 / 256, -128)),
    "fully connected": fully_connected,
    "mean": mean,
    "convolution": models.int8_conv,
}


@pytest.mark.parametrize("name", MODELS)
def test_an_operator_gives_literts_integers(tmp_path: Path, name: str) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="the reference numbers come from ai-edge-litert")
    path = tmp_path / "net.tflite"
    path.write_bytes(MODELS[name]())
    kind = litert.OpResolverType.BUILTIN_REF
    interpreter = litert.Interpreter(str(path), experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    rewritten = integer_arithmetic(import_model(path))
    assert rewritten.note is None
    details, rng = interpreter.get_input_details(), np.random.default_rng(1)
    inputs = [rng.integers(-128, 128, d["shape"], dtype="int8") for d in details]
    for detail, value in zip(details, inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_array_equal(run_main(rewritten.mod, inputs)[0], expected)
