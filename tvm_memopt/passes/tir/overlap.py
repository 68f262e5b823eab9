"""Kernels whose output overlaps an input: both are addressed through one base pointer.

The code generator takes buffers of different parameters as disjoint. Reads of the input therefore become reads of the
output's buffer, at indices shifted by the distance of the two, which the plan fixes. The code generator then sees
every dependence between them, and reorders no load past a store that it must not pass.
"""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir.expr import TensorLoad

from tvm_memopt.passes.tir.access.distance import overlap_distances
from tvm_memopt.passes.tir.sharing import flat_view, same_elements, with_statements
from tvm_memopt.passes.tir.statements import FlatKernel, analyze, dtype_of, element_count, flatten_statements


def overlap_parameters(func: tirx.PrimFunc) -> dict[tuple[int, int], int]:
    """Least distances in bytes of the (input, output) pairs of parameters that overlap_input can rewrite.

    Pairs of which only disjoint buffers are safe are left out, and inputs that could overlap several outputs.
    """
    kernel, found = analyze(func), {}
    for (source, target), distance in overlap_distances(func).items():
        taken = (element_count(func.params[target]) or 0) * _element_nbytes(func, target)
        if distance < taken and _rewritable(kernel, source, target):
            found[source, target] = distance
    sources = [source for source, _ in found]
    return {pair: distance for pair, distance in found.items() if sources.count(pair[0]) == 1}


def _rewritable(kernel: FlatKernel, source: int, target: int) -> bool:
    one, other = kernel.func.params[source], kernel.func.params[target]
    return dtype_of(one) == dtype_of(other) and same_elements(kernel, other, one)


def _element_nbytes(func: tirx.PrimFunc, position: int) -> int:
    dtype = tvm.DataType(dtype_of(func.params[position]))
    return int((dtype.bits * dtype.lanes + 7) // 8)


def overlap_input(func: tirx.PrimFunc, source: int, target: int, shift: int) -> tirx.PrimFunc:
    """Specialise ``func`` for calls in which parameter ``source`` begins ``shift`` bytes above parameter ``target``.

    ``shift`` may be negative. It must be a multiple of the element size, and at least the pair's distance.
    """
    kernel = analyze(func)
    base, root = flat_view(kernel, func.params[target]), func.params[source]
    assert base is not None
    elements, rest = divmod(shift, _element_nbytes(func, source))
    assert not rest

    def on_load(load: TensorLoad) -> tvm.ir.Expr:
        if not kernel.root_of(load.source).same_as(root):
            return load
        return tirx.BufferLoad(base, [_shifted(load.indices[0], elements)])

    statements: list[tirx.Stmt] = []
    for statement in flatten_statements(func):
        if isinstance(statement, tirx.DeclBuffer) and statement.buffer.same_as(base):
            statements.insert(0, statement)
        elif isinstance(statement, tirx.AllocBuffer | tirx.DeclBuffer):
            statements.append(statement)
        else:
            statements.append(tvm_ffi.structural_map(statement, (TensorLoad, on_load)))
    return with_statements(func, func.params, statements)


def _shifted(index: tvm.ir.Expr, elements: int) -> tvm.ir.Expr:
    if isinstance(index, tirx.Ramp):
        return tirx.Ramp(index.base + elements, index.stride, index.lanes)
    return index + elements
