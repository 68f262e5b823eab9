"""Small TFLite models, written tensor by tensor with the flatbuffers builder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite

TYPES = {"float32": tflite.TensorType.FLOAT32, "int32": tflite.TensorType.INT32, "int8": tflite.TensorType.INT8}


@dataclass
class TensorSpec:
    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    data: np.ndarray | None = None
    quantisation: tuple[float, int] | None = None


@dataclass
class OperatorSpec:
    code: int
    inputs: list[int]
    outputs: list[int]
    options_type: int = 0
    options: Callable[[flatbuffers.Builder], int] | None = None
    custom: str | None = field(default=None)


def build(tensors: list[TensorSpec], operators: list[OperatorSpec], inputs: list[int], outputs: list[int]) -> bytes:
    """A flatbuffer with one subgraph."""
    b = flatbuffers.Builder(1024)
    buffers = [_buffer(b, None), *(_buffer(b, tensor.data) for tensor in tensors)]
    tables = [_tensor(b, tensor, index + 1) for index, tensor in enumerate(tensors)]
    calls = [_operator(b, operator, index) for index, operator in enumerate(operators)]
    codes = [_code(b, operator) for operator in operators]
    parts = [_offsets(b, tables), _ints(b, inputs), _ints(b, outputs), _offsets(b, calls)]
    tflite.SubGraphStart(b)
    add = [tflite.SubGraphAddTensors, tflite.SubGraphAddInputs, tflite.SubGraphAddOutputs, tflite.SubGraphAddOperators]
    for one, part in zip(add, parts, strict=True):
        one(b, part)
    subgraphs = _offsets(b, [tflite.SubGraphEnd(b)])
    code_vector, buffer_vector = _offsets(b, codes), _offsets(b, buffers)
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, code_vector)
    tflite.ModelAddSubgraphs(b, subgraphs)
    tflite.ModelAddBuffers(b, buffer_vector)
    b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
    return bytes(b.Output())


def same_padding_conv(b: flatbuffers.Builder) -> int:
    """Options of a 3x3 convolution with stride 1 and a fused ReLU."""
    tflite.Conv2DOptionsStart(b)
    tflite.Conv2DOptionsAddPadding(b, tflite.Padding.SAME)
    tflite.Conv2DOptionsAddStrideH(b, 1)
    tflite.Conv2DOptionsAddStrideW(b, 1)
    tflite.Conv2DOptionsAddFusedActivationFunction(b, tflite.ActivationFunctionType.RELU)
    return tflite.Conv2DOptionsEnd(b)


def plain_add(b: flatbuffers.Builder) -> int:
    tflite.AddOptionsStart(b)
    return tflite.AddOptionsEnd(b)


def conv_and_add(batch: int = 1) -> bytes:
    """relu(conv(x)) + x on an 8x8 image of 4 channels."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((4, 3, 3, 4)).astype("float32")
    tensors = [
        TensorSpec("x", (batch, 8, 8, 4)),
        TensorSpec("weight", weight.shape, data=weight),
        TensorSpec("bias", (4,), data=random.standard_normal(4).astype("float32")),
        TensorSpec("features", (batch, 8, 8, 4)),
        TensorSpec("sum", (batch, 8, 8, 4)),
    ]
    conv, plus = tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.ADD
    operators = [
        OperatorSpec(conv, [0, 1, 2], [3], tflite.BuiltinOptions.Conv2DOptions, same_padding_conv),
        OperatorSpec(plus, [3, 0], [4], tflite.BuiltinOptions.AddOptions, plain_add),
    ]
    return build(tensors, operators, [0], [4])


def int8_conv() -> bytes:
    """relu(conv(x)) in 8-bit integers."""
    random = np.random.default_rng(1)
    weight = random.integers(-127, 128, (4, 3, 3, 2), dtype="int8")
    tensors = [
        TensorSpec("x", (1, 6, 6, 2), "int8", quantisation=(0.05, 3)),
        TensorSpec("weight", weight.shape, "int8", weight, (0.01, 0)),
        TensorSpec("bias", (4,), "int32", random.integers(-500, 500, 4, dtype="int32"), (0.0005, 0)),
        TensorSpec("y", (1, 6, 6, 4), "int8", quantisation=(0.1, -128)),
    ]
    conv = OperatorSpec(
        tflite.BuiltinOperator.CONV_2D, [0, 1, 2], [3], tflite.BuiltinOptions.Conv2DOptions, same_padding_conv
    )
    return build(tensors, [conv], [0], [3])


def int8_average_pool(padding: int, window: int = 3, stride: int = 1) -> bytes:
    """Average pooling of a 7x7 image of 3 channels in 8-bit integers."""

    def options(b: flatbuffers.Builder) -> int:
        tflite.Pool2DOptionsStart(b)
        tflite.Pool2DOptionsAddPadding(b, padding)
        tflite.Pool2DOptionsAddStrideH(b, stride)
        tflite.Pool2DOptionsAddStrideW(b, stride)
        tflite.Pool2DOptionsAddFilterHeight(b, window)
        tflite.Pool2DOptionsAddFilterWidth(b, window)
        tflite.Pool2DOptionsAddFusedActivationFunction(b, tflite.ActivationFunctionType.RELU)
        return tflite.Pool2DOptionsEnd(b)

    side = -(-7 // stride) if padding == tflite.Padding.SAME else (7 - window) // stride + 1
    tensors = [
        TensorSpec("x", (1, 7, 7, 3), "int8", quantisation=(0.05, -30)),
        TensorSpec("y", (1, side, side, 3), "int8", quantisation=(0.05, -30)),
    ]
    kind = tflite.BuiltinOperator.AVERAGE_POOL_2D
    return build(tensors, [OperatorSpec(kind, [0], [1], tflite.BuiltinOptions.Pool2DOptions, options)], [0], [1])


def int8_pad(value: int | None = None) -> bytes:
    """PAD of an int8 image with its zero point, or PADV2 with ``value``."""
    widths = np.array([[0, 0], [1, 2], [0, 3], [0, 0]], "int32")
    tensors = [
        TensorSpec("x", (1, 4, 4, 2), "int8", quantisation=(0.05, 7)),
        TensorSpec("widths", (4, 2), "int32", widths),
        TensorSpec("y", (1, 7, 7, 2), "int8", quantisation=(0.05, 7)),
    ]
    if value is None:
        return build(tensors, [OperatorSpec(tflite.BuiltinOperator.PAD, [0, 1], [2])], [0], [2])
    tensors.append(TensorSpec("value", (1,), "int8", np.array([value], "int8"), (0.05, 7)))
    return build(tensors, [OperatorSpec(tflite.BuiltinOperator.PADV2, [0, 1, 3], [2])], [0], [2])


def int8_reshape_by_shape() -> bytes:
    """reshape(x, pack(shape(x)[0], 6, 4)) of an int8 tensor of shape (2, 4, 6)."""

    def slice_options(b: flatbuffers.Builder) -> int:
        tflite.StridedSliceOptionsStart(b)
        tflite.StridedSliceOptionsAddShrinkAxisMask(b, 1)
        return tflite.StridedSliceOptionsEnd(b)

    def pack_options(b: flatbuffers.Builder) -> int:
        tflite.PackOptionsStart(b)
        tflite.PackOptionsAddValuesCount(b, 3)
        return tflite.PackOptionsEnd(b)

    def shape_options(b: flatbuffers.Builder) -> int:
        tflite.ShapeOptionsStart(b)
        tflite.ShapeOptionsAddOutType(b, tflite.TensorType.INT32)
        return tflite.ShapeOptionsEnd(b)

    def number(name: str, value: int, shape: tuple[int, ...]) -> TensorSpec:
        return TensorSpec(name, shape, "int32", np.full(shape, value, "int32"))

    tensors = [
        TensorSpec("x", (2, 4, 6), "int8", quantisation=(0.05, 7)),
        TensorSpec("shape", (3,), "int32"),
        *(number(name, value, (1,)) for name, value in (("begin", 0), ("end", 1), ("strides", 1))),
        TensorSpec("batch", (), "int32"),
        *(number(name, value, ()) for name, value in (("six", 6), ("four", 4))),
        TensorSpec("new shape", (3,), "int32"),
        TensorSpec("y", (2, 6, 4), "int8", quantisation=(0.05, 7)),
    ]
    code, kind = tflite.BuiltinOperator, tflite.BuiltinOptions
    operators = [
        OperatorSpec(code.SHAPE, [0], [1], kind.ShapeOptions, shape_options),
        OperatorSpec(code.STRIDED_SLICE, [1, 2, 3, 4], [5], kind.StridedSliceOptions, slice_options),
        OperatorSpec(code.PACK, [5, 6, 7], [8], kind.PackOptions, pack_options),
        OperatorSpec(code.RESHAPE, [0, 8], [9]),
    ]
    return build(tensors, operators, [0], [9])


def unary(code: int, custom: str | None = None) -> bytes:
    """One operator without options on a vector of 4."""
    tensors = [TensorSpec("x", (4,)), TensorSpec("result", (4,))]
    return build(tensors, [OperatorSpec(code, [0], [1], custom=custom)], [0], [1])


def _buffer(b: flatbuffers.Builder, data: np.ndarray | None) -> int:
    vector = b.CreateByteVector(np.ascontiguousarray(data).tobytes()) if data is not None else None
    tflite.BufferStart(b)
    if vector is not None:
        tflite.BufferAddData(b, vector)
    return tflite.BufferEnd(b)


def _tensor(b: flatbuffers.Builder, tensor: TensorSpec, buffer: int) -> int:
    name, shape = b.CreateString(tensor.name), _ints(b, tensor.shape)
    quantisation = _quantisation(b, *tensor.quantisation) if tensor.quantisation else None
    tflite.TensorStart(b)
    tflite.TensorAddName(b, name)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, TYPES[tensor.dtype])
    tflite.TensorAddBuffer(b, buffer)
    if quantisation is not None:
        tflite.TensorAddQuantization(b, quantisation)
    return tflite.TensorEnd(b)


def _quantisation(b: flatbuffers.Builder, scale: float, zero_point: int) -> int:
    scales = b.CreateNumpyVector(np.array([scale], "float32"))
    zero_points = b.CreateNumpyVector(np.array([zero_point], "int64"))
    tflite.QuantizationParametersStart(b)
    tflite.QuantizationParametersAddScale(b, scales)
    tflite.QuantizationParametersAddZeroPoint(b, zero_points)
    return tflite.QuantizationParametersEnd(b)


def _operator(b: flatbuffers.Builder, operator: OperatorSpec, code: int) -> int:
    inputs, outputs = _ints(b, operator.inputs), _ints(b, operator.outputs)
    options = operator.options(b) if operator.options else None
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, code)
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(b, operator.options_type)
        tflite.OperatorAddBuiltinOptions(b, options)
    return tflite.OperatorEnd(b)


def _code(b: flatbuffers.Builder, operator: OperatorSpec) -> int:
    custom = b.CreateString(operator.custom) if operator.custom else None
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(operator.code, 127))
    tflite.OperatorCodeAddBuiltinCode(b, operator.code)
    tflite.OperatorCodeAddVersion(b, 1)
    if custom is not None:
        tflite.OperatorCodeAddCustomCode(b, custom)
    return tflite.OperatorCodeEnd(b)


def _ints(b: flatbuffers.Builder, values: Sequence[int]) -> int:
    return b.CreateNumpyVector(np.array(values, "int32"))


def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()
