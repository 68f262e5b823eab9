"""Merge scratch buffers with the kernel's output, where they can live until the output is written.

For example, the last read of a convolution's accumulator is in the bias addition that writes the
output, element by element. Such a buffer is merged with the output: accesses to it become accesses to
the output itself. The code generator sees one buffer, and every value is computed as before.
"""

from __future__ import annotations

from collections.abc import Mapping

import tvm_ffi
from tvm import tirx
from tvm.ir import Var

from tvm_memopt.passes.tir.reading_order import reads_precede_writes
from tvm_memopt.passes.tir.statements import (
    STACK_NBYTES,
    FlatKernel,
    analyze,
    dtype_of,
    element_count,
    flatten_statements,
    nbytes_of,
    reads_before_overwrite,
)


def share_outputs(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """Merge scratch buffers of ``func`` with its outputs where no live value is overwritten.

    Buffers on the stack stay. Loops over so few elements are unrolled, and moving their values to other memory
    may change whether a multiplication and an addition are contracted into one rounding.
    """
    kernel = analyze(func)
    for scratch in sorted(kernel.allocations(), key=lambda b: -max(kernel.touched(b), default=0)):
        if (nbytes_of(scratch) or 0) <= STACK_NBYTES:
            continue
        target = _find_output(kernel, scratch)
        if target is not None:
            kernel = analyze(_merge_into_output(kernel, scratch, target))
    return kernel.func


def _find_output(kernel: FlatKernel, scratch: Var) -> Var | None:
    fitting = [o for o in kernel.func.params if _can_hold(kernel, o, scratch)]
    return min(fitting, key=lambda o: element_count(o) or 0, default=None)


def _can_hold(kernel: FlatKernel, output: Var, scratch: Var) -> bool:
    if not tirx.is_buffer_var(output) or not kernel.stores.get(output) or not kernel.touched(scratch):
        return False
    if output in kernel.opaque or scratch in kernel.opaque or _scope(scratch) != "global":
        return False
    size, room = element_count(scratch), element_count(output)
    if size is None or room is None or size > room or not same_elements(kernel, output, scratch):
        return False
    first, last = kernel.touched(output)[0], kernel.touched(scratch)[-1]
    return last < first or (last == first and reads_before_overwrite(kernel, last, scratch, output))


def same_elements(kernel: FlatKernel, output: Var, source: Var) -> bool:
    """Whether all accesses to both are flat and of one element type, so that equal indices mean equal bytes."""
    flat = flat_view(kernel, output)
    handles = [*kernel.handles.get(output, ()), *kernel.handles.get(source, ())]
    return flat is not None and all(len(h.shape) == 1 and dtype_of(h) == dtype_of(flat) for h in handles)


def _scope(buffer: Var) -> str:
    return str(buffer.scope())


def flat_view(kernel: FlatKernel, parameter: Var) -> Var | None:
    """The one-dimensional buffer through which the kernel accesses ``parameter``."""
    count = element_count(parameter)
    declared = (s.buffer for s in kernel.statements if isinstance(s, tirx.DeclBuffer))
    views = (v for v in declared if kernel.root_of(v).same_as(parameter))
    flat = next((v for v in views if len(v.shape) == 1 and element_count(v) == count), None)
    return parameter if flat is None and len(parameter.shape) == 1 else flat


def _merge_into_output(kernel: FlatKernel, scratch: Var, output: Var) -> tirx.PrimFunc:
    target = flat_view(kernel, output)
    assert target is not None
    merged = {scratch: target} | {view: target for view, root in kernel.root.items() if root.same_as(scratch)}
    return replace_buffers(kernel.func, merged, target)


def replace_buffers(func: tirx.PrimFunc, merged: Mapping[Var, Var], target: Var) -> tirx.PrimFunc:
    """Replace each access to a key of ``merged`` by an access to ``target``.

    The view that declares ``target`` moves to the front so that it is in scope everywhere.
    """
    statements: list[tirx.Stmt] = []
    for statement in flatten_statements(func):
        declares = statement.buffer if isinstance(statement, tirx.AllocBuffer | tirx.DeclBuffer) else None
        if declares is not None and declares in merged:
            continue
        if declares is not None and declares.same_as(target):
            statements.insert(0, statement)
        else:
            statements.append(tvm_ffi.structural_map(statement, (Var, lambda v: merged.get(v, v))))
    return with_statements(func, func.params, statements)


def with_statements(func: tirx.PrimFunc, params: object, statements: list[tirx.Stmt]) -> tirx.PrimFunc:
    """Return ``func`` with the given parameters and top-level statements."""
    body = statements[0] if len(statements) == 1 else tirx.SeqStmt(statements)
    return tirx.PrimFunc(list(params), body, func.ret_type, func.attrs)  # type: ignore[call-overload]


def inplace_parameters(func: tirx.PrimFunc) -> list[tuple[int, int]]:
    """In-place pairs (input, output): parameter positions where the output may overwrite the input.

    The last read of each input element is no later than the iteration that overwrites it. Sizes and element
    types are equal.
    """
    kernel = analyze(func)
    buffers = [(i, p) for i, p in enumerate(func.params) if tirx.is_buffer_var(p)]
    outputs = [(i, p) for i, p in buffers if kernel.stores.get(p)]
    inputs = [(i, p) for i, p in buffers if kernel.loads.get(p) and not kernel.stores.get(p)]
    return [(i, o) for i, source in inputs for o, target in outputs if _may_overwrite(kernel, source, target)]


def _may_overwrite(kernel: FlatKernel, source: Var, target: Var) -> bool:
    if source in kernel.opaque or target in kernel.opaque or dtype_of(source) != dtype_of(target):
        return False
    count = element_count(source)
    if count is None or count != element_count(target) or not same_elements(kernel, target, source):
        return False
    first, last = kernel.touched(target)[0], max(kernel.loads[source])
    if last != first:
        return last < first
    return reads_before_overwrite(kernel, last, source, target) or reads_precede_writes(kernel, last, source, target)


def overwrite_input(func: tirx.PrimFunc, source: int, target: int) -> tirx.PrimFunc:
    """Specialise ``func`` for calls that pass the same memory as parameters ``source`` and ``target``.

    Reads of the input become reads of the output, so that no two parameters alias.
    """
    kernel = analyze(func)
    flat = flat_view(kernel, func.params[target])
    assert flat is not None
    root = func.params[source]
    merged = {root: flat} | {view: flat for view, base in kernel.root.items() if base.same_as(root)}
    return replace_buffers(func, merged, flat)
