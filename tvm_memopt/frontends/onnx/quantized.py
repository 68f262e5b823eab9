"""Rewrite quantised operators as DequantizeLinear, the float operator, and QuantizeLinear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm_memopt.frontends.onnx.emit import CannotRewriteError, Emitter, Rule, attributes_of, optional

if TYPE_CHECKING:
    import onnx

_FLOAT, _INT32 = 1, 6
_AXIS_SINCE = 13


def _dequantize(emit: Emitter, value: str, scale: str, zero: str = "", *, axis: int = 0) -> str:
    """Dequantise to float. ``axis`` matters only for a scale with one value per slice along it."""
    dims = emit.values.dims.get(scale)
    if not dims or dims == (1,):
        scale, zero = _scalar(emit, scale), _scalar(emit, zero)
        return emit.add("DequantizeLinear", value, scale, *([zero] if zero else []))
    if len(dims) > 1:
        raise CannotRewriteError(f"the scale {scale!r} has {len(dims)} dimensions, expected at most 1")
    if emit.opset < _AXIS_SINCE:
        return _dequantize_by_axis(emit, value, scale, zero, axis)
    return emit.add("DequantizeLinear", value, scale, *([zero] if zero else []), axis=axis)


def _dequantize_by_axis(emit: Emitter, value: str, scale: str, zero: str, axis: int) -> str:
    """Emulate DequantizeLinear with an axis, for operator sets that lack it."""
    rank = len(emit.values.dims.get(value, ()))
    if not rank:
        raise CannotRewriteError(f"the number of dimensions of {value!r} is not known")
    shape = [1] * rank
    shape[axis] = -1
    numbers = emit.add("Cast", value, to=_FLOAT)
    if zero:
        zeros = emit.add("Reshape", emit.add("Cast", zero, to=_FLOAT), emit.integers(*shape))
        numbers = emit.add("Sub", numbers, zeros)
    return emit.add("Mul", numbers, emit.add("Reshape", scale, emit.integers(*shape)))


def _scalar(emit: Emitter, name: str) -> str:
    """The same number as a scalar of rank 0."""
    known = emit.values.known(name) if name else None
    return name if known is None else emit.constant(known.reshape(()))


def _quantize(emit: Emitter, value: str, scale: str, zero: str, output: str) -> None:
    scale, zero = _scalar(emit, scale), _scalar(emit, zero)
    emit.add("QuantizeLinear", value, scale, *([zero] if zero else []), output=output)


def _unary(op_type: str) -> Rule:
    """Rule for inputs x, its scale and zero point, then the output's scale and zero point. Attributes are kept."""

    def rule(node: onnx.NodeProto, emit: Emitter) -> None:
        attributes = attributes_of(node)
        channels_last = attributes.pop("channels_last", 0)
        attributes.pop("opset", None)
        x = _dequantize(emit, *node.input[:3])
        rank = len(emit.values.dims.get(node.input[0], ()))
        if channels_last:
            x = emit.add("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])
        y = emit.add(op_type, x, **attributes)
        if channels_last:
            y = emit.add("Transpose", y, perm=[0, *range(2, rank), 1])
        _quantize(emit, y, node.input[3], optional(node.input, 4), node.output[0])

    return rule


def _binary(op_type: str) -> Rule:
    """Rule for two triples of value, scale and zero point, then the output's scale and zero point."""

    def rule(node: onnx.NodeProto, emit: Emitter) -> None:
        a, b = _dequantize(emit, *node.input[:3]), _dequantize(emit, *node.input[3:6])
        _quantize(emit, emit.add(op_type, a, b), node.input[6], optional(node.input, 7), node.output[0])

    return rule


def _matmul(node: onnx.NodeProto, emit: Emitter) -> None:
    a = _dequantize(emit, *node.input[:3], axis=-2)
    b = _dequantize(emit, *node.input[3:6], axis=-1)
    _quantize(emit, emit.add("MatMul", a, b), node.input[6], node.input[7], node.output[0])


def _conv(node: onnx.NodeProto, emit: Emitter) -> None:
    attributes = attributes_of(node)
    if attributes.pop("channels_last", 0):
        raise CannotRewriteError("its channels come last; export the model with channels first")
    x, w = _dequantize(emit, *node.input[:3]), _dequantize(emit, *node.input[3:6])
    bias = []
    if name := optional(node.input, 8):
        scale = emit.add("Mul", _scalar(emit, node.input[1]), node.input[4])
        bias = [emit.add("Mul", emit.add("Cast", name, to=_FLOAT), scale)]
    _quantize(emit, emit.add("Conv", x, w, *bias, **attributes), node.input[6], node.input[7], node.output[0])


def _conv_integer(node: onnx.NodeProto, emit: Emitter) -> None:
    x, w = (_centred(node, emit, i) for i in range(2))
    result = emit.add("Conv", x, w, **attributes_of(node))
    emit.add("Cast", result, to=_INT32, output=node.output[0])


def _centred(node: onnx.NodeProto, emit: Emitter, position: int) -> str:
    """An integer operand minus its zero point, as float."""
    value = emit.add("Cast", node.input[position], to=_FLOAT)
    zero = optional(node.input, 2 + position)
    if not zero:
        return value
    dims = emit.values.dims.get(zero)
    if position == 1 and dims and dims != (1,):
        zero = emit.add("Reshape", zero, emit.integers(-1, *[1] * (len(emit.values.dims[node.input[1]]) - 1)))
    else:
        zero = _scalar(emit, zero)
    return emit.add("Sub", value, emit.add("Cast", zero, to=_FLOAT))


def _concat(node: onnx.NodeProto, emit: Emitter) -> None:
    scale, zero, *triples = node.input
    parts = [_dequantize(emit, *triples[i : i + 3]) for i in range(0, len(triples), 3)]
    _quantize(emit, emit.add("Concat", *parts, **attributes_of(node)), scale, zero, node.output[0])


def _gemm(node: onnx.NodeProto, emit: Emitter) -> None:
    import numpy as np

    attributes = attributes_of(node)
    b_axis = 0 if attributes.get("transB", 0) else 1
    a, b = _dequantize(emit, *node.input[:3]), _dequantize(emit, *node.input[3:6], axis=b_axis)
    bias = []
    if name := optional(node.input, 6):
        scale = emit.add("Mul", _scalar(emit, node.input[1]), node.input[4])
        scale = emit.add("Mul", scale, emit.constant(np.float32(attributes.get("alpha", 1.0))))
        bias = [emit.add("Mul", emit.add("Cast", name, to=_FLOAT), scale)]
    result = emit.add("Gemm", a, b, *bias, **attributes)
    if scale := optional(node.input, 7):
        _quantize(emit, result, scale, optional(node.input, 8), node.output[0])
    else:
        emit.rename(result, node.output[0])


def _where(node: onnx.NodeProto, emit: Emitter) -> None:
    x, y = _dequantize(emit, *node.input[1:4]), _dequantize(emit, *node.input[4:7])
    result = emit.add("Where", node.input[0], x, y)
    _quantize(emit, result, node.input[7], optional(node.input, 8), node.output[0])


_UNARY = {
    "QLinearAveragePool": "AveragePool", "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu", "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}  # fmt: skip
_OTHERS: dict[str, Rule] = {
    "ConvInteger": _conv_integer, "QGemm": _gemm, "QLinearConcat": _concat,
    "QLinearConv": _conv, "QLinearMatMul": _matmul, "QLinearWhere": _where,
    "QLinearAdd": _binary("Add"), "QLinearMul": _binary("Mul"),
}  # fmt: skip
QUANTIZED: dict[str, Rule] = {name: _unary(op_type) for name, op_type in _UNARY.items()} | _OTHERS
