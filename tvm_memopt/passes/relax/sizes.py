"""Bytes of Relax values, with upper bounds where a dimension is symbolic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import tvm
import tvm_ffi
from tvm import relax, sym, tirx


def dtype_nbytes(dtype: object) -> int:
    """Bytes of one element."""
    data_type = tvm.DataType(str(dtype))
    return (int(data_type.bits) * int(data_type.lanes) + 7) // 8


def static_nbytes(extents: Iterable[tvm.ir.Expr], dtype: object, bounds: Mapping[tirx.Var, int]) -> int | None:
    """Bytes of a tensor, or their upper bound under ``bounds`` (symbolic dimension → its greatest value).

    None if a dimension has no bound.
    """
    count = 1
    for extent in extents:
        largest = largest_value(extent, bounds)
        if largest is None:
            return None
        count *= largest
    return count * dtype_nbytes(dtype)


def largest_value(extent: tvm.ir.Expr, bounds: Mapping[tirx.Var, int]) -> int | None:
    """The greatest value of a dimension, or None if it has no bound."""
    if isinstance(extent, tirx.IntImm):
        return int(extent)
    analyzer = sym.Analyzer()
    for variable in _variables(extent):
        if variable not in bounds:
            return None
        analyzer.bind(variable, tvm.ir.Range(0, bounds[variable] + 1))
    bound = analyzer.const_int_bound(extent).max_value
    return int(bound) if bound < 2**62 else None


def _variables(extent: tvm.ir.Expr) -> list[tirx.Var]:
    found: list[tirx.Var] = []
    tvm_ffi.structural_walk(extent, (tirx.Var, found.append))
    return found


def type_nbytes(value_type: object, bounds: Mapping[tirx.Var, int]) -> int | None:
    """Bytes of a value of this Relax type: a tensor or a tuple of tensors. 0 for shapes and other objects."""
    if isinstance(value_type, relax.TensorType):
        if value_type.shape is None or not isinstance(value_type.shape, relax.ShapeExpr):
            return None
        return static_nbytes(value_type.shape.values, value_type.dtype, bounds)
    if isinstance(value_type, relax.TupleType):
        parts = [type_nbytes(field, bounds) for field in value_type.fields]
        return None if None in parts else sum(p for p in parts if p is not None)
    return 0
