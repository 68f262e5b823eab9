"""Quantised operators in integers: equal to TFLite's definition, and within one step of the float path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from tests.passes.relax.integer import oracle
from tests.passes.relax.running import HOST, one_function, outputs, tensor
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.relax.integer.rewrite import integer_arithmetic

pytestmark = pytest.mark.slow

ONE, OTHER, OUT = (float(np.float32(0.07)), 5), (float(np.float32(0.031)), -11), (float(np.float32(0.09)), -4)
SHAPE = (2, 6, 5, 8)
Build = Callable[..., relax.Expr]


def dequantized(x: relax.Expr, quantisation: tuple[float, int] = ONE) -> relax.Expr:
    scale, zero = quantisation
    return relax.op.dequantize(x, relax.const(scale, "float32"), relax.const(zero, "int32"), axis=-1)


def quantized(x: relax.Expr, quantisation: tuple[float, int] = OUT, dtype: str = "int8") -> relax.Expr:
    scale, zero = quantisation
    point = relax.const(zero, "int32")
    return relax.op.quantize(x, relax.const(scale, "float32"), point, axis=-1, out_dtype=dtype)


def module(build: Build, *shapes: tuple[int, ...], dtype: str = "int8") -> tvm.IRModule:
    """A module whose calls are all bound to variables."""
    arguments = [tensor(f"x{index}", shape, dtype) for index, shape in enumerate(shapes)]
    return one_function(arguments, lambda builder: builder.emit(build(*arguments)))


def levels(*shapes: tuple[int, ...], dtype: str = "int8", seed: int = 0) -> list[np.ndarray]:
    info, rng = np.iinfo(dtype), np.random.default_rng(seed)
    return [rng.integers(info.min, info.max + 1, shape).astype(dtype) for shape in shapes]


def assert_integers(
    mod: tvm.IRModule, inputs: list[np.ndarray], expected: np.ndarray | None = None, steps: int = 1
) -> None:
    """``mod`` in integers has no float operator, equals ``expected``, and is within ``steps`` of its float path."""
    rewritten = integer_arithmetic(mod)
    assert rewritten.note is None
    assert "dequantize" not in rewritten.mod.script()
    found, wide = (outputs(build_unmodified(m, HOST), inputs)[0].astype(int) for m in (rewritten.mod, mod))
    if expected is not None:
        np.testing.assert_array_equal(found, expected)
    assert np.abs(found - wide).max() <= steps


@pytest.mark.parametrize(("op", "sign"), [(relax.op.add, 1), (relax.op.subtract, -1)])
def test_sums(op: Build, sign: int) -> None:
    mod = module(lambda x, y: quantized(op(dequantized(x), dequantized(y, OTHER))), SHAPE, SHAPE)
    a, b = levels(SHAPE, SHAPE)
    assert_integers(mod, [a, b], oracle.add(a, b, ONE, OTHER, OUT, sign))


def test_a_sum_with_a_relu_and_a_broadcast_operand() -> None:
    mod = module(lambda x, y: quantized(relax.op.nn.relu(relax.op.add(dequantized(x), dequantized(y)))), SHAPE, (8,))
    a, b = levels(SHAPE, (8,))
    assert_integers(mod, [a, b], oracle.add(a, b, ONE, ONE, OUT, low=OUT[1]))


def test_products() -> None:
    mod = module(lambda x, y: quantized(relax.op.multiply(dequantized(x), dequantized(y, OTHER))), SHAPE, (6, 1, 8))
    a, b = levels(SHAPE, (6, 1, 8))
    assert_integers(mod, [a, b], oracle.mul(a, b, ONE, OTHER, OUT))


def test_a_change_of_scale() -> None:
    mod = module(lambda x: quantized(relax.op.nn.relu(dequantized(x))), SHAPE)
    (a,) = levels(SHAPE)
    assert_integers(mod, [a], oracle.requantize(a, ONE, OUT, low=OUT[1]))


def test_a_change_between_signed_and_unsigned_integers_of_one_scale() -> None:
    mod = module(lambda x: quantized(dequantized(x), (ONE[0], ONE[1] + 128), "uint8"), SHAPE)
    (a,) = levels(SHAPE)
    assert_integers(mod, [a], a.astype(int) + 128)


def test_a_leaky_relu_has_a_factor_for_each_sign() -> None:
    mod = module(lambda x: quantized(relax.op.nn.leakyrelu(dequantized(x), 0.3)), SHAPE)
    (a,) = levels(SHAPE)
    assert_integers(mod, [a], oracle.leaky_relu(a, ONE, OUT, 0.3))


@pytest.mark.parametrize("axes", [(1, 2), (3,)])
def test_means(axes: tuple[int, ...]) -> None:
    mod = module(lambda x: quantized(relax.op.mean(dequantized(x), list(axes)), OTHER), SHAPE)
    (a,) = levels(SHAPE)
    assert_integers(mod, [a], oracle.mean(a, ONE, OTHER, axes))


def test_a_global_pool_is_a_mean() -> None:
    pool = relax.op.nn.adaptive_avg_pool2d
    mod = module(lambda x: quantized(pool(dequantized(x), (1, 1), "NHWC"), OTHER), SHAPE)
    (a,) = levels(SHAPE)
    assert_integers(mod, [a], oracle.mean(a, ONE, OTHER, (1, 2)).reshape(2, 1, 1, 8))


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_average_pools(padding: int, layout: str) -> None:
    pool = relax.op.nn.avg_pool2d
    mod = module(
        lambda x: quantized(pool(dequantized(x), (2, 3), (2, 1), padding, count_include_pad=True, layout=layout)),
        (1, 6, 7, 8),
    )
    assert_integers(mod, levels((1, 6, 7, 8)))


def test_an_average_pool_whose_windows_differ_stays_in_floats() -> None:
    mod = module(lambda x: quantized(relax.op.nn.avg_pool2d(dequantized(x), (3, 3), (1, 1), 1)), (1, 8, 6, 6))
    assert integer_arithmetic(mod).kept == {"nn.avg_pool2d": 1}


def test_functions_of_one_tensor_become_tables() -> None:
    def silu(x: relax.Expr) -> relax.Expr:
        y = dequantized(x)
        return quantized(relax.op.multiply(y, relax.op.sigmoid(y)))

    for build in (silu, lambda x: quantized(relax.op.tanh(dequantized(x)), (1 / 128, 0))):
        assert_integers(module(build, SHAPE), levels(SHAPE), steps=0)
    unsigned = module(
        lambda x: quantized(relax.op.exp(dequantized(x, (0.01, 128))), (0.02, 0), "uint8"), SHAPE, dtype="uint8"
    )
    assert_integers(unsigned, levels(SHAPE, dtype="uint8"), steps=0)


def test_concatenation_brings_its_parts_to_one_scale() -> None:
    mod = module(
        lambda x, y: quantized(relax.op.concat([dequantized(x), dequantized(y, OTHER)], axis=3)), SHAPE, (2, 6, 5, 3)
    )
    a, b = levels(SHAPE, (2, 6, 5, 3))
    parts = [oracle.requantize(a, ONE, OUT), oracle.requantize(b, OTHER, OUT)]
    assert_integers(mod, [a, b], np.concatenate(parts, axis=3))


def test_movement_leaves_integers_alone() -> None:
    def build(x: relax.Expr) -> relax.Expr:
        moved = relax.op.permute_dims(relax.op.reshape(dequantized(x), (2, 30, 8)), [0, 2, 1])
        return quantized(relax.op.strided_slice(moved, [2], [1], [20]), ONE)

    (a,) = levels(SHAPE)
    assert_integers(module(build, SHAPE), [a], a.reshape(2, 30, 8).transpose(0, 2, 1)[..., 1:20], steps=0)


def test_maxima_are_taken_of_integers() -> None:
    mod = module(lambda x: quantized(relax.op.nn.max_pool2d(dequantized(x), (2, 2), (2, 2)), ONE), (1, 8, 6, 6))
    assert_integers(mod, levels((1, 8, 6, 6)), steps=0)


def convolution(per_channel: bool, bias: str, relu: bool = True, dtype: str = "int8") -> tuple[tvm.IRModule, tuple]:
    """A convolution of NHWC with the parts that the oracle needs."""
    rng = np.random.default_rng(3)
    weight = rng.integers(-127, 128, (3, 3, 8, 12)).astype("int8")
    scales = rng.uniform(0.0005, 0.02, 12).astype("float32") if per_channel else np.full(12, 0.004, "float32")
    steps = (np.float32(ONE[0]) * scales).astype("float32")
    integers = rng.integers(-9000, 9000, 12).astype("int32")
    scale = relax.const(scales if per_channel else scales[0], "float32")

    def build(x: relax.Expr) -> relax.Expr:
        kernel = relax.op.dequantize(relax.const(weight), scale, relax.const(0, "int32"), axis=3)
        y = relax.op.nn.conv2d(dequantized(x), kernel, padding=1, data_layout="NHWC", kernel_layout="HWIO")
        if bias == "stored":
            added = relax.op.dequantize(relax.const(integers), relax.const(steps), relax.const(0, "int32"), axis=0)
            y = relax.op.add(y, added)
        elif bias == "float":
            y = relax.op.add(relax.const((integers * steps.astype("float64")).astype("float32")), y)
        return quantized(relax.op.nn.relu(y) if relu else y)

    return module(build, SHAPE, dtype=dtype), (weight, integers if bias != "none" else 0, ONE, scales.astype(float))


@pytest.mark.parametrize("bias", ["stored", "float", "none"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_convolutions(per_channel: bool, bias: str) -> None:
    mod, (weight, added, one, scales) = convolution(per_channel, bias)
    (a,) = levels(SHAPE)
    assert_integers(mod, [a], oracle.convolution(a, weight, added, one, scales, OUT, low=OUT[1]))


def test_a_convolution_of_unsigned_integers_with_asymmetric_weights() -> None:
    weight = np.random.default_rng(5).integers(0, 256, (6, 8, 3, 3)).astype("uint8")

    def build(x: relax.Expr) -> relax.Expr:
        kernel = dequantized(relax.const(weight), (0.003, 120))
        return quantized(relax.op.nn.conv2d(dequantized(x, (0.02, 120)), kernel, padding=1), (0.1, 128), "uint8")

    assert_integers(module(build, (1, 8, 9, 9), dtype="uint8"), levels((1, 8, 9, 9), dtype="uint8"))


def test_depthwise_weights_that_are_reshaped_after_dequantisation() -> None:
    rng = np.random.default_rng(7)
    weight, scales = rng.integers(-127, 128, (1, 3, 3, 8)).astype("int8"), rng.uniform(0.001, 0.02, 8)

    def build(x: relax.Expr) -> relax.Expr:
        kernel = relax.op.dequantize(
            relax.const(weight), relax.const(scales.astype("float32")), relax.const(0, "int32"), axis=3
        )
        kernel = relax.op.reshape(kernel, (3, 3, 8, 1))
        conv = relax.op.nn.conv2d
        return quantized(
            conv(dequantized(x), kernel, padding=1, groups=8, data_layout="NHWC", kernel_layout="HWOI"), OTHER
        )

    assert_integers(module(build, SHAPE), levels(SHAPE))


def test_a_fully_connected_layer_rounds_once() -> None:
    rng = np.random.default_rng(9)
    weight, bias = rng.integers(-127, 128, (10, 64)).astype("int8"), rng.integers(-5000, 5000, 10).astype("int32")
    scale = np.float32(0.004)

    def build(x: relax.Expr) -> relax.Expr:
        matrix = relax.op.permute_dims(dequantized(relax.const(weight), (float(scale), 0)))
        added = dequantized(relax.const(bias), (float(np.float32(ONE[0]) * scale), 0))
        return quantized(relax.op.add(relax.op.matmul(dequantized(x), matrix), added), (0.3, 7))

    (a,) = levels((400, 64))
    expected = oracle.fully_connected(a, weight.T, bias, ONE, scale, (float(np.float32(0.3)), 7))
    assert_integers(module(build, (400, 64)), [a], expected)


def test_a_product_of_two_activations() -> None:
    build = lambda x, y: quantized(relax.op.matmul(dequantized(x), dequantized(y, OTHER)), (0.4, 0))  # noqa: E731
    assert_integers(module(build, (2, 6, 40), (2, 40, 5)), levels((2, 6, 40), (2, 40, 5)))


def test_an_accumulator_that_could_overflow_stays_in_floats() -> None:
    weight = relax.const(np.full((140_000, 2), 127, "int8"))
    mod = module(lambda x: quantized(relax.op.matmul(dequantized(x), dequantized(weight)), (1000.0, 0)), (1, 140_000))
    assert integer_arithmetic(mod).kept == {"matmul": 1}


def test_what_is_read_in_floats_too_is_not_computed_twice() -> None:
    x = tensor("x", (1, 8, 6, 6), "int8")
    weight = relax.const(np.ones((4, 8, 1, 1), "int8"))

    def body(builder: relax.BlockBuilder) -> relax.Expr:
        y = builder.emit(relax.op.nn.conv2d(dequantized(x), dequantized(weight)))
        return builder.emit(relax.Tuple([builder.emit(quantized(y)), y]))

    assert integer_arithmetic(one_function([x], body)).kept == {"nn.conv2d": 1}


def test_a_softmax_stays_in_floats_and_is_named() -> None:
    mod = module(lambda x: quantized(relax.op.nn.softmax(dequantized(x)), (1 / 256, -128)), (4, 10))
    note = integer_arithmetic(mod).note
    assert note is not None
    assert note.endswith("nn.softmax (1)")
