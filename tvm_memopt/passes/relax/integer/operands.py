"""Recognise quantised operands: integers with a scale and a zero point, behind dequantisation and movement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx
from tvm.ir import Var

Array = np.ndarray[Any, Any]
BYTES = ("int8", "uint8")
_MOVES: Mapping[str, Callable[[Array, relax.Call], Array]] = {
    "relax.reshape": lambda values, call: values.reshape(shape_of(call)),
    "relax.flatten": lambda values, call: values.reshape(shape_of(call)),
    "relax.expand_dims": lambda values, call: values.reshape(shape_of(call)),
    "relax.squeeze": lambda values, call: values.reshape(shape_of(call)),
    "relax.permute_dims": lambda values, call: values.transpose(_axes(values, call)),
}
_SELECTIONS = ("relax.strided_slice", "relax.nn.max_pool2d")  # of elements that share one scale


def _axes(values: Array, call: relax.Call) -> list[int]:
    axes = call.attrs.axes
    return list(range(values.ndim))[::-1] if axes is None else [int(axis) for axis in axes]


def shape_of(expr: relax.Expr) -> tuple[int, ...]:
    """The static shape of a tensor. Raises ValueError if there is none."""
    found = expr.ty
    if not isinstance(found, relax.TensorType) or not isinstance(found.shape, relax.ShapeExpr):
        raise ValueError("no static shape")
    if not all(isinstance(extent, tirx.IntImm) for extent in found.shape.values):
        raise ValueError("no static shape")
    return tuple(int(extent) for extent in found.shape.values)


def dtype_of(expr: relax.Expr) -> str:
    """Element type of a tensor, or an empty string."""
    return str(expr.ty.dtype) if isinstance(expr.ty, relax.TensorType) else ""


def operator(expr: relax.Expr | None) -> str:
    """Name of the operator that ``expr`` calls, or an empty string."""
    return str(expr.op.name) if isinstance(expr, relax.Call) and isinstance(expr.op, tvm.ir.Op) else ""


@dataclass(frozen=True)
class Operand:
    """Integers ``expr`` that stand for ``(integer − zero) · scale``.

    ``scale``, ``zero``: 0-d, or of the tensor's shape. ``constant``: the integers, if known.
    """

    expr: relax.Expr
    shape: tuple[int, ...]
    dtype: str
    scale: Array
    zero: Array
    constant: Array | None

    @property
    def is_per_tensor(self) -> bool:
        """Whether one scale and one zero point hold for all elements."""
        return self.scale.ndim == 0 and self.zero.ndim == 0

    @property
    def reach(self) -> int:
        """The largest magnitude of ``integer − zero``."""
        if self.constant is not None:
            return int(np.abs(self.constant.astype("int64") - self.zero).max(initial=0))
        info = np.iinfo(self.dtype)
        return int(max(info.max - self.zero.min(), self.zero.max() - info.min))

    def along(self, axis: int) -> Array | None:
        """The scale of each index of ``axis``, or None if it varies along another axis."""
        if self.scale.ndim == 0:
            return np.full(self.shape[axis], self.scale)
        rows = np.moveaxis(self.scale, axis, 0).reshape(self.shape[axis], -1)
        return rows[:, 0] if (rows == rows[:, :1]).all() else None


class Values:
    """What the variables of a function are bound to. ``readers``: how many bindings read each variable."""

    def __init__(self, bound: Mapping[Var, relax.Expr], readers: Mapping[Var, int]) -> None:
        self._bound, self._readers = bound, readers

    def of(self, expr: relax.Expr) -> relax.Expr:
        """The expression that ``expr`` is bound to, through any number of variables."""
        while isinstance(expr, Var) and expr in self._bound:
            expr = self._bound[expr]
        return expr

    def read_once(self, expr: relax.Expr) -> bool:
        """Whether at most one binding reads ``expr``."""
        return not isinstance(expr, Var) or self._readers.get(expr, 0) <= 1

    def constant(self, expr: relax.Expr) -> Array | None:
        """The value of a constant, of a constant that was moved, or of a product of such. None for other values."""
        value = self.of(expr)
        if isinstance(value, tvm.ir.GenericConst):
            return np.asarray(value.value.numpy())
        if operator(value) in _MOVES:
            inner = self.constant(value.args[0])
            return None if inner is None else _MOVES[operator(value)](inner, value)
        if operator(value) == "relax.multiply":
            one, other = (self.constant(argument) for argument in value.args)
            return None if one is None or other is None else one * other
        return None

    def number(self, expr: relax.Expr) -> float | None:
        """The value of a constant with one element, or None."""
        found = self.constant(expr)
        return float(found.reshape(-1)[0]) if found is not None and found.size == 1 else None

    def operand(self, expr: relax.Expr) -> Operand | None:
        """``expr`` as quantised integers, or None if it is not a dequantised, perhaps moved, tensor."""
        call = self.of(expr)
        try:
            if operator(call) == "relax.dequantize":
                return self._dequantized(call)
            if operator(call) in _MOVES:
                inner = self.operand(call.args[0])
                return None if inner is None else _moved(inner, call)
            if operator(call) in _SELECTIONS:
                inner = self.operand(call.args[0])
                if inner is None or not inner.is_per_tensor:
                    return None
                expr = _on(call, inner.expr)
                return Operand(expr, shape_of(call), inner.dtype, inner.scale, inner.zero, None)
        except ValueError:
            return None
        return None

    def _dequantized(self, call: relax.Call) -> Operand | None:
        integers, shape = call.args[0], shape_of(call.args[0])
        scale, zero = (self._quantisation(argument, call, shape) for argument in call.args[1:3])
        if scale is None or zero is None or dtype_of(integers) not in (*BYTES, "int32"):
            return None
        constant = self.constant(integers)
        return Operand(integers, shape, dtype_of(integers), scale.astype("float32"), zero.astype("int64"), constant)

    def _quantisation(self, expr: relax.Expr, call: relax.Call, shape: tuple[int, ...]) -> Array | None:
        """A scale or zero point, 0-d or broadcast to ``shape`` along the axis of ``call``."""
        found = self.constant(expr)
        if found is None or found.size == 1:
            return None if found is None else found.reshape(())
        axis = int(call.attrs.axis) % len(shape)
        column = [1] * len(shape)
        column[axis] = found.size
        return np.broadcast_to(found.reshape(column), shape)

    def output(self, call: relax.Call) -> Operand | None:
        """What a quantize call makes, if it has one scale: int8 or uint8 of static shape."""
        scale, zero = self.number(call.args[1]), self.number(call.args[2])
        dtype = str(call.attrs.out_dtype)
        if scale is None or zero is None or scale <= 0 or dtype not in BYTES:
            return None
        try:
            shape = shape_of(call.args[0])
        except ValueError:
            return None
        return Operand(call, shape, dtype, np.array(scale, "float32"), np.array(int(zero)), None)


def _on(call: relax.Call, tensor: relax.Expr) -> relax.Call:
    """``call`` with ``tensor`` as its first argument, and its result type left to be inferred."""
    return relax.Call(call.op, [tensor, *call.args[1:]], call.attrs, call.ty_args)


def _moved(inner: Operand, call: relax.Call) -> Operand:
    move = _MOVES[operator(call)]

    def each(values: Array) -> Array:
        return values if values.ndim == 0 else move(values, call)

    constant = None if inner.constant is None else move(inner.constant, call)
    expr = _on(call, inner.expr)
    return Operand(expr, shape_of(call), inner.dtype, each(inner.scale), each(inner.zero), constant)
