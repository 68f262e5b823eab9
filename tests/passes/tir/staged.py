"""Fused kernels of several stages, as models have them, with tensors large enough to be worth splitting."""

from __future__ import annotations

from collections.abc import Callable

from tvm import te, tirx, topi


def _input(name: str, *shape: int, dtype: str = "float32") -> te.Tensor:
    return te.placeholder(shape, name=name, dtype=dtype)


def _constant(value: float) -> tirx.PrimExpr:
    return tirx.const(value, "float32")


def _silu(x: te.Tensor) -> te.Tensor:
    return topi.multiply(x, topi.sigmoid(x))


def _hard_swish(x: te.Tensor) -> te.Tensor:
    inner = topi.minimum(topi.maximum(topi.add(x, _constant(3.0)), _constant(0.0)), _constant(6.0))
    return topi.multiply(x, topi.divide(inner, _constant(6.0)))


def _normalised(x: te.Tensor, channels: int) -> tuple[te.Tensor, list[te.Tensor]]:
    statistics = [_input(name, channels, 1, 1) for name in ("mean", "deviation", "gamma", "beta")]
    mean, deviation, gamma, beta = statistics
    scaled = topi.multiply(topi.divide(topi.subtract(x, mean), topi.sqrt(deviation)), gamma)
    return topi.add(scaled, beta), statistics


def batch_norm_silu(channels: int = 8, size: int = 24) -> tirx.PrimFunc:
    """Batch normalisation and SiLU of an image."""
    x = _input("x", 1, channels, size, size)
    value, statistics = _normalised(x, channels)
    return te.create_prim_func([x, *statistics, _silu(value)])


def conv_silu(channels: int = 8, size: int = 20) -> tirx.PrimFunc:
    """A padded convolution, bias and SiLU."""
    x, weight = _input("x", 1, 3, size, size), _input("w", channels, 3, 3, 3)
    bias = _input("b", channels, 1, 1)
    return te.create_prim_func([x, weight, bias, _silu(topi.add(topi.nn.conv2d_nchw(x, weight, 1, 1, 1), bias))])


def depthwise_hard_swish(channels: int = 12, size: int = 20, stride: int = 1) -> tirx.PrimFunc:
    """A padded depthwise convolution, bias and hard swish."""
    x, weight = _input("x", 1, channels, size, size), _input("w", channels, 1, 3, 3)
    bias = _input("b", channels, 1, 1)
    found = topi.nn.depthwise_conv2d_nchw(x, weight, stride, 1, 1)
    return te.create_prim_func([x, weight, bias, _hard_swish(topi.add(found, bias))])


def pooled_silu(channels: int = 8, size: int = 24) -> tirx.PrimFunc:
    """SiLU of an image's average pooling."""
    x = _input("x", 1, channels, size, size)
    return te.create_prim_func([x, _silu(topi.nn.pool2d(x, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), "avg"))])


def gelu(rows: int = 32, columns: int = 300) -> tirx.PrimFunc:
    """GELU between two reshapes."""
    x = _input("x", rows, columns)
    value = topi.reshape(x, (1, rows, columns))
    half = topi.multiply(topi.erf(topi.multiply(value, _constant(0.70710677))), _constant(0.5))
    return te.create_prim_func([x, topi.reshape(topi.multiply(value, topi.add(half, _constant(0.5))), (rows, columns))])


def softmax(rows: int = 64, columns: int = 80) -> tirx.PrimFunc:
    """Scaled, masked softmax."""
    x, mask = _input("x", 2, rows, columns), _input("m", 1, rows, columns)
    return te.create_prim_func([x, mask, topi.nn.softmax(topi.add(topi.multiply(x, _constant(0.125)), mask))])


def layer_norm(rows: int = 48, columns: int = 200) -> tirx.PrimFunc:
    """A residual addition and layer normalisation."""
    x, residual = _input("x", 1, rows, columns), _input("r", 1, rows, columns)
    gamma, beta = _input("g", columns), _input("b", columns)
    return te.create_prim_func(
        [x, residual, gamma, beta, topi.nn.layer_norm(topi.add(x, residual), gamma, beta, [2], 1e-5)]
    )


def matmul_residual(rows: int = 32, columns: int = 300) -> tirx.PrimFunc:
    """A matrix product, bias and residual addition."""
    x, weight = _input("x", rows, 40), _input("w", 40, columns)
    bias, residual = _input("b", columns), _input("r", rows, columns)
    product = topi.add(topi.matmul(x, weight), bias)
    return te.create_prim_func([x, weight, bias, residual, topi.add(residual, product)])


def quantised_conv(channels: int = 16, size: int = 16) -> tirx.PrimFunc:
    """A convolution between dequantised values, with a quantising epilogue."""
    x, weight = _input("x", 1, size, size, 4, dtype="int8"), _input("w", 3, 3, 4, channels)
    scale = _input("s", channels)
    wide = topi.multiply(topi.cast(x, "float32"), _constant(0.05))
    value = topi.multiply(topi.nn.conv2d_nhwc(wide, weight, 1, 1, 1), scale)
    rounded = topi.round(topi.divide(value, _constant(0.1)))
    return te.create_prim_func([x, weight, scale, topi.cast(topi.clip(rounded, -128.0, 127.0), "int8")])


KINDS: dict[str, Callable[[], tirx.PrimFunc]] = {
    "batch norm and SiLU": batch_norm_silu,
    "convolution and SiLU": conv_silu,
    "depthwise and hard swish": depthwise_hard_swish,
    "strided depthwise": lambda: depthwise_hard_swish(size=32, stride=2),
    "pooling and SiLU": pooled_silu,
    "GELU": gelu,
    "softmax": softmax,
    "layer norm": layer_norm,
    "residual": matmul_residual,
    "quantised": quantised_conv,
}
