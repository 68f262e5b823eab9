"""Operators that TVM's TFLite importer converts wrongly, or refuses, when they are quantised.

The importer takes the class that converts operators as an argument, so that TVM itself is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax.frontend.tflite.tflite_frontend import OperatorConverter

_MOVE_OR_MEASURE = frozenset({"PAD", "PADV2", "SHAPE"})


class Converter(OperatorConverter):  # type: ignore[misc]  # TVM has no types
    """TVM's converter, with quantised average pooling rounded, and with quantised PAD, PADV2 and SHAPE.

    Average pooling: TVM divides the int32 sum and drops the fraction (https://github.com/apache/tvm/issues/20298);
    TFLite rounds to the nearest integer, halves away from zero.

    PAD, PADV2: TVM pads quantised tensors with their zero point, but refuses them before it comes to that.

    SHAPE: it reads no element, so that quantisation does not matter. Its result is known, and so is what operators
    make of it and of constants: a reshape gets numbers, where TVM has a shape for constants only.
    """

    convert_map: dict[str, Callable[..., Any]]
    bb: relax.BlockBuilder
    _SUPPORTED_QUANTIZED_OPS = OperatorConverter._SUPPORTED_QUANTIZED_OPS | _MOVE_OR_MEASURE

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._known: dict[int, np.ndarray[Any, Any]] = {}
        self.convert_map = {code: partial(self._convert, convert) for code, convert in self.convert_map.items()}

    def convert_pool2d(self, op: Any, pool_type: str) -> relax.Expr:
        """Pooling; the average of a quantised tensor is rounded."""
        return _rounded(super().convert_pool2d(op, pool_type=pool_type))

    def convert_shape(self, op: Any) -> relax.Expr | None:
        """A shape; without unknown dimensions it is kept as a value, and nothing is emitted."""
        measured, out = self.get_input_tensors(op)[0], self.get_output_tensors(op)[0]
        shape = [dim for dim in self.get_tensor_expr(measured).ty.shape if isinstance(dim, tvm.tirx.IntImm)]
        if len(shape) != self.get_tensor_expr(measured).ty.ndim:
            return super().convert_shape(op)
        dtype = self.get_tensor_type_str(out.tensor.Type())
        self._known[out.tensor_idx] = np.array([int(dim) for dim in shape], dtype)
        return None

    def get_tensor_value(self, tensor_wrapper: Any, is_sparse: bool = False) -> Any:
        """The value of a constant, or one that was computed from shapes."""
        if tensor_wrapper.tensor_idx in self._known:
            return self._known[tensor_wrapper.tensor_idx]
        return super().get_tensor_value(tensor_wrapper, is_sparse)

    def get_expr(self, input_tensor_idx: int) -> relax.Expr:
        """The expression of a tensor; a value that was computed from shapes becomes a constant."""
        if input_tensor_idx in self._known:
            return relax.const(self._known[input_tensor_idx])
        return super().get_expr(input_tensor_idx)

    def _convert(self, convert: Callable[..., Any], op: Any) -> Any:
        """Convert one operator. The value of an operator on known shapes is computed here."""
        inputs, outputs = self.get_input_tensors(op), self.get_output_tensors(op)
        known = any(tensor.tensor_idx in self._known for tensor in inputs)
        if len(outputs) != 1 or not known or any(self.has_expr(tensor.tensor_idx) for tensor in inputs):
            return convert(op=op)
        value = self._evaluate(lambda: convert(op=op))
        if value is None:
            return convert(op=op)
        self._known[outputs[0].tensor_idx] = value
        return None

    def _evaluate(self, convert: Callable[[], relax.Expr]) -> np.ndarray[Any, Any] | None:
        """The value of an expression over constants, or None if it does not fold to one."""
        outer, self.bb = self.bb, relax.BlockBuilder()
        try:
            with self.bb.function("main", []):
                with self.bb.dataflow():
                    out = self.bb.emit_output(convert())
                self.bb.emit_func_output(out)
            main = relax.transform.FoldConstant()(self.bb.get())["main"]
        finally:
            self.bb = outer
        value = main.body.body
        return value.value.numpy() if isinstance(value, tvm.ir.GenericConst) else None


def _rounded(expr: relax.Expr) -> relax.Expr:
    """``expr`` with its average pooling of int32 rounded. It is a chain of calls, innermost the pooling.

    With t = trunc(2 sum / count), sum / count rounded with halves away from zero is floor((t + [t >= 0]) / 2).
    """
    if not isinstance(expr, tvm.ir.Call):
        return expr
    if expr.op == tvm.ir.Op.get("relax.nn.avg_pool2d"):
        return _rounded_pool(expr) if _is_int32(expr.args[0]) else expr
    return tvm.ir.Call(expr.op, [_rounded(expr.args[0]), *expr.args[1:]], expr.attrs, expr.ty_args)


def _is_int32(expr: relax.Expr) -> bool:
    """Whether it is a cast to int32, not bound to a variable yet."""
    cast = isinstance(expr, tvm.ir.Call) and expr.op == tvm.ir.Op.get("relax.astype")
    return cast and str(expr.attrs.dtype) == "int32"


def _rounded_pool(pool: relax.Expr) -> relax.Expr:
    zero, one, two = (relax.const(number, "int32") for number in range(3))
    doubled = relax.op.multiply(pool.args[0], two)
    twice = tvm.ir.Call(pool.op, [doubled], pool.attrs, pool.ty_args)
    # The compiled pooling divides by a 64-bit count and yields int64, whatever its type in Relax says.
    twice = relax.op.astype(twice, "int32")
    not_negative = relax.op.astype(relax.op.greater_equal(twice, zero), "int32")
    return relax.op.right_shift(relax.op.add(twice, not_negative), one)
