"""The copy of an input to its offset in the arena."""

from __future__ import annotations

from tvm import te, tirx
from tvm.ir import Var


def copy_kernel(parameter: Var) -> tirx.PrimFunc:
    """A kernel that copies a tensor with the type of ``parameter`` from its first argument to its second.

    Both may be the same memory, if the caller has written the input where the plan places it.
    """
    shape = [int(extent) for extent in parameter.ty.shape.values]
    source = te.placeholder(shape, str(parameter.ty.dtype), "source")
    placed = te.compute(shape, lambda *indices: source[indices], "placed")
    return te.create_prim_func([source, placed]).without_attr("tirx.noalias").without_attr("global_symbol")
