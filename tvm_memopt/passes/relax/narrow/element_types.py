"""Element types that quantised and half-precision models keep between kernels, and what marks such a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import tvm
import tvm_ffi
from tvm import relax

_CONVERSIONS = ("relax.quantize", "relax.dequantize")
NARROW_BITS = 16
"""A tensor with at most so many bits an element may lie between kernels."""
_HALF = ("float16", "bfloat16")


def element_bits(expr: relax.Expr) -> int | None:
    """Bits of one element of a tensor, or None if ``expr`` is not one."""
    found = expr.ty
    if not isinstance(found, relax.TensorType) or not str(found.dtype):
        return None
    return int(tvm.DataType(str(found.dtype)).bits)


def is_narrower(tensor: relax.Expr, other: relax.Expr) -> bool:
    """Whether an element of ``tensor`` takes fewer bits than one of ``other``."""
    bits, others = element_bits(tensor), element_bits(other)
    return bits is not None and others is not None and bits < others


def has_narrow_tensors(mod: tvm.IRModule) -> bool:
    """Whether a function of ``mod`` quantises, dequantises, or casts half-precision tensors to or from wider ones."""
    return _has_call(mod, lambda call: call.op.name in _CONVERSIONS or _widens_halves(call))


def widens_halves(mod: tvm.IRModule) -> bool:
    """Whether a function of ``mod`` casts half-precision tensors to or from wider ones."""
    return _has_call(mod, _widens_halves)


def _has_call(mod: tvm.IRModule, wanted: Callable[[relax.Call], bool]) -> bool:
    found: list[relax.Call] = []

    def on_call(call: relax.Call) -> None:
        if isinstance(call.op, tvm.ir.Op) and wanted(call):
            found.append(call)

    for function in _relax_functions(mod):
        tvm_ffi.structural_walk(function.body, (tvm.ir.Call, on_call))
    return bool(found)


def _widens_halves(call: relax.Call) -> bool:
    if call.op.name != "relax.astype" or not isinstance(call.args[0].ty, relax.TensorType):
        return False
    source, result = str(call.args[0].ty.dtype), str(call.ty.dtype)
    return source != result and (source in _HALF) != (result in _HALF)


def _relax_functions(mod: tvm.IRModule) -> Iterable[relax.Function]:
    return (function for _, function in mod.functions_items() if isinstance(function, relax.Function))
