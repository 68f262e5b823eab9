"""Element-wise kernels of integer arithmetic, each a PrimFunc that the module calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tvm import relax, te, tirx

from tvm_memopt.passes.relax.integer.fixed_point import Expr, Factors, rescaled, rescaled_once
from tvm_memopt.passes.relax.integer.operands import Array, Operand

Indices = Sequence[Expr]
Element = Callable[[Sequence[te.Tensor], Indices], Expr]
_ADDITION_SHIFT = 20  # bits by which TFLite widens the operands of an addition


@dataclass(frozen=True)
class Tensor:
    """An argument of a kernel."""

    expr: relax.Expr
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, operand: Operand) -> Tensor:
        """The integers of ``operand``."""
        return cls(operand.expr, operand.shape, operand.dtype)

    @classmethod
    def vector(cls, values: Array) -> Tensor:
        """A constant."""
        return cls(relax.const(values), values.shape, str(values.dtype))


@dataclass(frozen=True)
class Result:
    """What a kernel writes: ``real / scale + zero``, kept within ``low`` and ``high``."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero: int
    low: int
    high: int

    def stored(self, value: Expr) -> Expr:
        """The int32 ``value``, which is 0 for the real number 0, as an element of the result."""
        shifted = value + tirx.const(self.zero, "int32")
        return tirx.max(tirx.min(shifted, self.high), self.low).astype(self.dtype)

    @property
    def is_whole(self) -> bool:
        """Whether the limits are those of the element type."""
        info = np.iinfo(self.dtype)
        return (self.low, self.high) == (info.min, info.max)


class Kernels:
    """Adds kernels to the module of ``builder`` and makes calls of them."""

    def __init__(self, builder: relax.BlockBuilder) -> None:
        self._builder = builder

    def call(
        self, name: str, arguments: Sequence[Tensor], shape: Sequence[int], dtype: str, element: Element
    ) -> relax.Call:
        """A call of a kernel that computes each element of a tensor from ``arguments``."""
        placeholders = [te.placeholder(a.shape, a.dtype, f"p{index}") for index, a in enumerate(arguments)]
        result = te.compute(tuple(shape), lambda *indices: element(placeholders, indices), name=name)
        function = te.create_prim_func([*placeholders, result], "int64").without_attr("global_symbol")
        variable = self._builder.add_func(function, name)
        return relax.call_tir(variable, [a.expr for a in arguments], relax.TensorType(list(shape), dtype))

    def requantized(
        self, sums: Tensor, factors: Factors, bias: Array | None, axis: int, result: Result, *, once: bool = False
    ) -> relax.Call:
        """int32 ``sums`` plus ``bias``, rescaled.

        ``factors``, ``bias``: one value, or one for each index of ``axis``. ``once``: round once, not twice.
        """
        vectors: list[Tensor] = []

        def per_channel(values: Array) -> Callable[[Sequence[te.Tensor], Indices], Expr | int]:
            if (values == values[0]).all():
                return lambda _tensors, _indices: int(values[0])
            vectors.append(Tensor.vector(values))
            position = len(vectors)
            return lambda tensors, indices: tensors[position][indices[axis]]

        rescale = rescaled_once if once else rescaled
        added = per_channel(np.zeros(1, "int32") if bias is None else bias)
        mantissa, exponent = per_channel(factors.mantissas), per_channel(factors.exponents)

        def element(tensors: Sequence[te.Tensor], indices: Indices) -> Expr:
            value = tensors[0](*indices) + _int32(added(tensors, indices))
            value = rescale(value, mantissa(tensors, indices), _shift(exponent(tensors, indices)))
            return result.stored(value)

        return self.call("requantize", [sums, *vectors], result.shape, result.dtype, element)

    def requantized_integers(self, operand: Operand, factors: Factors | None, result: Result) -> relax.Call:
        """``operand`` in the scale of ``result``; without ``factors`` the scales are equal."""

        def element(tensors: Sequence[te.Tensor], indices: Indices) -> Expr:
            value = _centred(tensors[0], indices, operand)
            return result.stored(value if factors is None else _rescaled_by(value, factors, 0))

        return self.call("requantize", [Tensor.of(operand)], result.shape, result.dtype, element)

    def window_sums(self, operand: Operand, shape: Sequence[int], pool: relax.Call) -> relax.Call:
        """The int32 sum of ``integer − zero`` over each window of the pooling ``pool``, whose result has ``shape``."""
        axes = [str(pool.attrs.layout).index(name) for name in "HW"]
        before = [int(width) for width in pool.attrs.padding[:2]]
        strides = [int(stride) for stride in pool.attrs.strides]
        window = [te.reduce_axis((0, int(extent)), f"w{i}") for i, extent in enumerate(pool.attrs.pool_size)]

        def element(tensors: Sequence[te.Tensor], indices: Indices) -> Expr:
            at, inside = list(indices), tirx.const(True, "bool")
            for axis, offset, stride, inner in zip(axes, before, strides, window, strict=True):
                at[axis] = indices[axis] * stride + inner - offset
                inside = tirx.all(inside, at[axis] >= 0, at[axis] < operand.shape[axis])
            value = _centred(tensors[0], at, operand)
            if any(int(width) for width in pool.attrs.padding):
                value = tirx.if_then_else(inside, value, tirx.const(0, "int32"))
            return te.sum(value, axis=window)

        return self.call("window_sum", [Tensor.of(operand)], shape, "int32", element)

    def added(self, operands: Sequence[Operand], signs: Factors, total: Factors, result: Result) -> relax.Call:
        """The sum of two operands, each times its factor in ``signs``, times ``total``."""

        def element(tensors: Sequence[te.Tensor], indices: Indices) -> Expr:
            terms = [
                _rescaled_by(_centred(tensor, indices, operand) << _ADDITION_SHIFT, signs, index)
                for index, (tensor, operand) in enumerate(zip(tensors, operands, strict=True))
            ]
            return result.stored(_rescaled_by(terms[0] + terms[1], total, 0))

        return self.call("quantized_add", [Tensor.of(o) for o in operands], result.shape, result.dtype, element)

    def multiplied(self, operands: Sequence[Operand], factors: Factors, result: Result) -> relax.Call:
        """The product of two operands, rescaled."""

        def element(tensors: Sequence[te.Tensor], indices: Indices) -> Expr:
            one, other = (_centred(t, indices, o) for t, o in zip(tensors, operands, strict=True))
            return result.stored(_rescaled_by(one * other, factors, 0))

        return self.call("quantized_multiply", [Tensor.of(o) for o in operands], result.shape, result.dtype, element)

    def leaky(self, operand: Operand, factors: Factors, result: Result) -> relax.Call:
        """The integers of ``operand`` times the first factor where they are not negative, else times the second."""

        def element(tensors: Sequence[te.Tensor], indices: Indices) -> Expr:
            value = _centred(tensors[0], indices, operand)
            positive, negative = (_rescaled_by(value, factors, index) for index in (0, 1))
            return result.stored(tirx.Select(value >= 0, positive, negative))

        return self.call("leaky_relu", [Tensor.of(operand)], result.shape, result.dtype, element)

    def looked_up(self, operand: Operand, table: Array) -> relax.Call:
        """The entry of ``table`` for each integer, the first entry being for the smallest."""
        first = int(np.iinfo(operand.dtype).min)

        def element(tensors: Sequence[te.Tensor], indices: Indices) -> Expr:
            return tensors[1][tensors[0](*indices).astype("int32") - first]

        arguments = [Tensor.of(operand), Tensor.vector(table)]
        return self.call("look_up", arguments, operand.shape, str(table.dtype), element)


def _rescaled_by(value: Expr, factors: Factors, index: int) -> Expr:
    return rescaled(value, int(factors.mantissas[index]), int(factors.exponents[index]))


def _centred(tensor: te.Tensor, indices: Indices, operand: Operand) -> Expr:
    """``integer − zero`` as int32, with the tensor broadcast to the shape that ``indices`` belong to."""
    own = indices[len(indices) - len(operand.shape) :]
    at = [0 if extent == 1 else index for extent, index in zip(operand.shape, own, strict=True)]
    value = tensor(*at).astype("int32")
    return value - tirx.const(int(operand.zero), "int32") if int(operand.zero) else value


def _int32(value: Expr | int) -> Expr:
    return tirx.const(value, "int32") if isinstance(value, int) else value


def _shift(value: Expr | int) -> Expr | int:
    return value if isinstance(value, int) else value.astype("int32")
