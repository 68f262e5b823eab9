"""Convolutions and matrix products of quantised tensors, with bias: integer products summed in int32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm import relax

from tvm_memopt.passes.relax.integer.arithmetic import centred
from tvm_memopt.passes.relax.integer.fixed_point import ACCUMULATOR_LIMIT, INT32_LIMIT, factors
from tvm_memopt.passes.relax.integer.kernels import Kernels, Result, Tensor
from tvm_memopt.passes.relax.integer.operands import Array, Operand, Values, operator

_CONVOLUTIONS = {"relax.nn.conv1d": relax.op.nn.conv1d, "relax.nn.conv2d": relax.op.nn.conv2d}
_PRODUCTS = (*_CONVOLUTIONS, "relax.matmul")
_MOST_SCALE_ERROR = 1e-5  # by which the scale of a stored bias may differ from that of the accumulator


@dataclass(frozen=True)
class _Product:
    """``call`` multiplies ``data`` by ``weight``; its result has a channel axis, each with an accumulator's scale."""

    call: relax.Call
    data: Operand
    weight: Operand
    axis: int
    weight_axis: int
    scales: Array  # float64, one for each channel


def linear(values: Values, kernels: Kernels, expr: relax.Expr, result: Result) -> relax.Expr | None:
    """The integers of a convolution or matrix product, with a bias or without, or None if ``expr`` is not one."""
    call, added = values.of(expr), None
    if operator(call) == "relax.add":
        position = next((i for i in (0, 1) if operator(values.of(call.args[i])) in _PRODUCTS), None)
        if position is None:
            return None
        expr, added = call.args[position], call.args[1 - position]
        call = values.of(expr)
    product = _product(values, call) if operator(call) in _PRODUCTS and values.read_once(expr) else None
    if product is None:
        return None
    bias = None if added is None else _bias(values, added, product, len(result.shape))
    if (added is not None and bias is None) or not _fits(product, bias):
        return None
    reals = product.scales / float(result.scale)
    sums, once = Tensor(_sums(product), result.shape, "int32"), _is_fully_connected(product)
    return kernels.requantized(sums, factors(reals), bias, product.axis, result, once=once)


def _product(values: Values, call: relax.Call) -> _Product | None:
    data, weight = (values.operand(argument) for argument in call.args[:2])
    if data is None or weight is None or not data.is_per_tensor or "int32" in (data.dtype, weight.dtype):
        return None
    if operator(call) == "relax.matmul":
        axis = weight_axis = -1
        if len(weight.shape) < 2 or len(data.shape) < 2:
            return None
    else:
        axis = str(call.attrs.out_layout).index("C")
        weight_axis = str(call.attrs.kernel_layout).index("O")
    scales = weight.along(weight_axis)
    if scales is None:
        return None
    return _Product(call, data, weight, axis, weight_axis, _accumulator_scales(call, data, weight, scales))


def _accumulator_scales(call: relax.Call, data: Operand, weight: Operand, scales: Array) -> Array:
    """Products of the scales. TFLite multiplies in float64, and in float32 in a FULLY_CONNECTED of one scale."""
    if operator(call) == "relax.matmul" and weight.scale.ndim == 0:
        return np.asarray(data.scale * scales.astype("float32"), "float64")
    return np.asarray(data.scale.astype("float64") * scales.astype("float64"))


def _is_fully_connected(product: _Product) -> bool:
    return operator(product.call) == "relax.matmul" and product.weight.constant is not None


def _sums(product: _Product) -> relax.Expr:
    data, weight = (centred(operand, "int16") for operand in (product.data, product.weight))
    attrs, name = product.call.attrs, operator(product.call)
    if name == "relax.matmul":
        return relax.op.matmul(data, weight, out_dtype="int32")
    return _CONVOLUTIONS[name](
        data, weight, strides=attrs.strides, padding=attrs.padding, dilation=attrs.dilation, groups=attrs.groups,
        data_layout=attrs.data_layout, kernel_layout=attrs.kernel_layout, out_layout=attrs.out_layout,
        out_dtype="int32",
    )  # fmt: skip


def _bias(values: Values, expr: relax.Expr, product: _Product, rank: int) -> Array | None:
    """The bias of each channel in steps of the accumulator, int32, or None if it is not a constant vector."""
    stored = values.operand(expr)
    if stored is not None and stored.constant is not None:
        exact = _stored_bias(stored, product, rank)
        if exact is not None:
            return exact
        reals = (stored.constant - stored.zero) * stored.scale.astype("float64")
    else:
        found = values.constant(expr)
        if found is None:
            return None
        reals = found.astype("float64")
    vector = _along_channels(reals, product, rank)
    if vector is None or not (product.scales > 0).all():
        return None
    return _as_int32(np.rint(vector / product.scales))


def _stored_bias(stored: Operand, product: _Product, rank: int) -> Array | None:
    """The integers of a bias that is stored with the accumulator's scale, or None for another scale."""
    vectors = [_along_channels(np.broadcast_to(v, stored.shape), product, rank) for v in (stored.scale, stored.zero)]
    integers = None if stored.constant is None else _along_channels(stored.constant, product, rank)
    if integers is None or vectors[0] is None or vectors[1] is None or np.any(vectors[1]):
        return None
    same = np.abs(vectors[0] - product.scales) <= _MOST_SCALE_ERROR * product.scales
    return _as_int32(integers) if same.all() else None


def _as_int32(values: Array) -> Array | None:
    return values.astype("int32") if np.abs(values).max(initial=0) < INT32_LIMIT else None


def _along_channels(values: Array, product: _Product, rank: int) -> Array | None:
    """``values`` as one for each channel, or None if broadcasting them would use another axis."""
    channels, axis = len(product.scales), product.axis % rank
    if values.size == 1:
        return np.full(channels, values.reshape(()))
    full = (1,) * (rank - values.ndim) + values.shape
    if full != tuple(channels if i == axis else 1 for i in range(rank)):
        return None
    return values.reshape(-1)


def _fits(product: _Product, bias: Array | None) -> bool:
    """Whether no accumulator can overflow int32."""
    weight, axis = product.weight, product.weight_axis
    if weight.constant is not None:
        magnitudes = np.abs(weight.constant.astype("int64") - weight.zero)
        sums = np.moveaxis(magnitudes, axis, 0).reshape(weight.shape[axis], -1).sum(axis=1)
    else:
        depth = int(np.prod(weight.shape)) // weight.shape[axis]
        sums = np.array([depth * weight.reach])
    bound = int(sums.max(initial=0)) * product.data.reach
    added = 0 if bias is None else int(np.abs(bias.astype("int64")).max(initial=0))
    return bool(bound + added < ACCUMULATOR_LIMIT)
