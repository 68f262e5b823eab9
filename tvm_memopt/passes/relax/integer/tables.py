"""Functions of one quantised tensor as tables of 256 results, as TFLite has them for LOGISTIC and TANH."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from tvm_memopt.passes.relax.integer.operands import Array, Operand, Values, operator, shape_of

_FUNCTIONS = frozenset(
    f"relax.{name}"
    for name in (
        "sigmoid", "tanh", "exp", "log", "sqrt", "rsqrt", "abs", "negative", "erf", "clip", "square", "sin", "cos",
        "floor", "ceil", "round", "sign", "add", "subtract", "multiply", "divide", "power", "maximum", "minimum",
        "nn.relu", "nn.relu6", "nn.leakyrelu", "nn.gelu", "nn.gelu_tanh", "nn.silu", "nn.softplus", "nn.selu",
    )
)  # fmt: skip
_MOST_CALLS = 16


def table(values: Values, quantize: relax.Call) -> tuple[Operand, Array] | None:
    """The quantised tensor that ``quantize`` depends on element by element, and the result for each integer.

    None if it depends on more than one, or by another function. Results are computed by TVM, as at run time.
    """
    function = _Function(values)
    body = function.on_every_integer(quantize.args[0])
    operand = function.operand
    if body is None or operand is None or len(function.known) > _MOST_CALLS:
        return None
    if shape_of(quantize.args[0]) != operand.shape:
        return None
    return operand, _evaluated(relax.op.quantize(body, *quantize.args[1:3], 0, str(quantize.attrs.out_dtype)))


class _Function:
    """A function of one quantised tensor, ``operand``, rewritten to one of all integers of its type."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.operand: Operand | None = None
        self.known: dict[relax.Expr, relax.Expr | None] = {}

    def on_every_integer(self, expr: relax.Expr) -> relax.Expr | None:
        """``expr`` for all integers in ascending order, or None if it is no such function."""
        value = self.values.of(expr)
        if value not in self.known:
            self.known[value] = self._rewritten(value)
        return self.known[value]

    def _rewritten(self, value: relax.Expr) -> relax.Expr | None:
        if isinstance(value, tvm.ir.GenericConst):
            number = value.value.numpy()
            return relax.const(number.reshape(())) if number.size == 1 else None
        operand = self.values.operand(value)
        if operand is not None:
            return self._dequantized(operand)
        if operator(value) not in _FUNCTIONS:
            return None
        tensors = [a for a in value.args if isinstance(a.ty, relax.TensorType)]
        rewritten = [self.on_every_integer(argument) for argument in tensors]
        if any(argument is None for argument in rewritten):
            return None
        return relax.Call(value.op, [*rewritten, *value.args[len(tensors) :]], value.attrs, value.ty_args)

    def _dequantized(self, operand: Operand) -> relax.Expr | None:
        if not operand.is_per_tensor or operand.dtype == "int32":
            return None
        if self.operand is not None and not _same(self.operand, operand):
            return None
        self.operand = operand
        info = np.iinfo(operand.dtype)
        integers = relax.const(np.arange(info.min, info.max + 1).astype(operand.dtype))
        return relax.op.dequantize(integers, relax.const(operand.scale), relax.const(operand.zero.astype("int32")), 0)


def _same(one: Operand, other: Operand) -> bool:
    same_tensor = one.expr.same_as(other.expr)
    return same_tensor and float(one.scale) == float(other.scale) and int(one.zero) == int(other.zero)


def _evaluated(expr: relax.Expr) -> Array:
    """The value of an expression over constants."""
    builder = relax.BlockBuilder()
    with builder.function("main", []):
        with builder.dataflow():
            result = builder.emit_output(expr)
        builder.emit_func_output(result)
    body = relax.transform.FoldConstant()(relax.transform.LegalizeOps()(builder.get()))["main"].body
    known = {binding.var: binding.value for block in body.blocks for binding in block.bindings}
    return np.asarray(known.get(body.body, body.body).value.numpy())
