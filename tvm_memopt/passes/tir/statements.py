"""A flat kernel as a list of statements, with the buffers that each statement accesses.

Works on the output of lower_to_flat_buffers: allocations and views first, then loop nests with
one-dimensional accesses. A buffer used in any other way is marked opaque and left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import tvm
import tvm_ffi
from tvm import sym, tirx
from tvm.ir import Var
from tvm.ir.expr import TensorLoad

from tvm_memopt.passes.injective import is_injective

STACK_NBYTES = 1023  # TVM puts constant-size buffers up to this size on the stack


@dataclass
class FlatKernel:
    """The accesses of one flat kernel.

    ``statements``: the top-level statements. ``root`` maps a view to the parameter or allocation whose memory it
    uses. ``opaque``: roots that are used through raw pointers or unknown views. ``handles``: by root, the buffers
    through which it is loaded and stored.
    """

    func: tirx.PrimFunc
    statements: list[tirx.Stmt]
    root: dict[Var, Var] = field(default_factory=dict)
    opaque: set[Var] = field(default_factory=set)
    loads: dict[Var, list[int]] = field(default_factory=dict)
    stores: dict[Var, list[int]] = field(default_factory=dict)
    handles: dict[Var, set[Var]] = field(default_factory=dict)

    def root_of(self, buffer: Var) -> Var:
        """The parameter or allocation whose memory ``buffer`` uses."""
        return self.root.get(buffer, buffer)

    def touched(self, buffer: Var) -> list[int]:
        """Indices of the statements that load or store the memory of ``buffer``, ascending."""
        return sorted({*self.loads.get(buffer, ()), *self.stores.get(buffer, ())})

    def allocations(self) -> list[Var]:
        """Buffers allocated at the top level of the kernel."""
        return [s.buffer for s in self.statements if isinstance(s, tirx.AllocBuffer)]


def flatten_statements(func: tirx.PrimFunc) -> list[tirx.Stmt]:
    """The top-level statements of ``func``."""
    return list(func.body.seq) if isinstance(func.body, tirx.SeqStmt) else [func.body]


def analyze(func: tirx.PrimFunc) -> FlatKernel:
    """Collect which memory each statement of ``func`` accesses. O(nodes)."""
    kernel = FlatKernel(func, flatten_statements(func))
    _collect_views(kernel)
    for index, statement in enumerate(kernel.statements):
        if not isinstance(statement, tirx.AllocBuffer | tirx.DeclBuffer):
            _collect_accesses(kernel, index, statement)
    return kernel


def _collect_views(kernel: FlatKernel) -> None:
    def on_view(view: tirx.DeclBuffer) -> None:
        source = data_source(view.data)
        if source is None:
            kernel.opaque.add(view.buffer)
        else:
            kernel.root[view.buffer] = kernel.root_of(source)

    tvm_ffi.structural_walk(kernel.func.body, (tirx.DeclBuffer, on_view), order="pre")


def data_source(data: tvm.ir.Expr) -> Var | None:
    """The buffer whose data pointer ``data`` is, or None if ``data`` is anything else."""
    if isinstance(data, tvm.ir.Call) and data.op == _BUFFER_DATA and isinstance(data.args[0], Var):
        source: Var = data.args[0]
        return source
    return None


_BUFFER_DATA = tvm.ir.Op.get("tirx.buffer_data")
_POINTERS = (_BUFFER_DATA, tvm.ir.Op.get("tirx.address_of"))


def _collect_accesses(kernel: FlatKernel, index: int, statement: tirx.Stmt) -> None:
    def on_load(load: TensorLoad) -> None:
        kernel.loads.setdefault(kernel.root_of(load.source), []).append(index)
        kernel.handles.setdefault(kernel.root_of(load.source), set()).add(load.source)

    def on_store(store: tirx.BufferStore) -> None:
        kernel.stores.setdefault(kernel.root_of(store.buffer), []).append(index)
        kernel.handles.setdefault(kernel.root_of(store.buffer), set()).add(store.buffer)

    def on_call(call: tvm.ir.Call) -> None:
        if call.op in _POINTERS:  # accesses through a raw pointer are unknown
            buffer = call.args[0].source if isinstance(call.args[0], TensorLoad) else call.args[0]
            source = kernel.root_of(buffer)
            kernel.opaque.add(source)
            kernel.loads.setdefault(source, []).append(index)
            kernel.stores.setdefault(source, []).append(index)

    def skip(_view: tirx.DeclBuffer) -> tvm_ffi.WalkResult:
        return tvm_ffi.WalkResult.SKIP

    callbacks = ((TensorLoad, on_load), (tirx.BufferStore, on_store), (tvm.ir.Call, on_call), (tirx.DeclBuffer, skip))
    tvm_ffi.structural_walk(statement, callbacks, order="pre")


def dtype_of(buffer: Var) -> str:
    """The element type, as TVM spells it."""
    return str(buffer.dtype)


def element_count(buffer: Var) -> int | None:
    """Number of elements, or None if a dimension is symbolic."""
    count = 1
    for extent in buffer.shape:
        if not isinstance(extent, tirx.IntImm):
            return None
        count *= int(extent)
    return count


def nbytes_of(buffer: Var) -> int | None:
    """Size in bytes, or None if a dimension is symbolic."""
    count, dtype = element_count(buffer), tvm.DataType(dtype_of(buffer))
    return None if count is None else count * ((dtype.bits * dtype.lanes + 7) // 8)


def variables_of(expr: tvm.ir.Expr) -> set[Var]:
    """The variables in ``expr``, buffers included."""
    found: set[Var] = set()
    tvm_ffi.structural_walk(expr, (Var, found.add))
    return found


def reads_before_overwrite(kernel: FlatKernel, index: int, source: Var, target: Var) -> bool:
    """Whether statement ``index`` may write ``target`` over the memory of ``source``.

    True for a loop nest with a single store to ``target``, at an index that differs in every iteration, whose
    loads of ``source`` are all in that store's value at the same index. Each element is then read before it is
    overwritten and never afterwards. The statement must not write ``source`` itself.
    """
    if index in kernel.stores.get(source, ()):
        return False
    found = _stores_with_loops(kernel, kernel.statements[index], target)
    if found is None:
        return False
    store, loops = found
    if len(store.indices) != 1 or not _is_injective(store.indices[0], loops):
        return False
    loads_in_value = _loads(kernel, store.value, source)
    loads_in_statement = _loads(kernel, kernel.statements[index], source)
    if len(loads_in_value) != len(loads_in_statement):
        return False
    return all(
        len(load.indices) == 1 and tvm_ffi.structural_equal(load.indices[0], store.indices[0])
        for load in loads_in_value
    )


def _loads(kernel: FlatKernel, node: object, source: Var) -> list[TensorLoad]:
    found: list[TensorLoad] = []

    def on_load(load: TensorLoad) -> None:
        if kernel.root_of(load.source).same_as(source):
            found.append(load)

    tvm_ffi.structural_walk(node, (TensorLoad, on_load))
    return found


def _stores_with_loops(
    kernel: FlatKernel, statement: tirx.Stmt, target: Var
) -> tuple[tirx.BufferStore, list[tirx.For]] | None:
    """The only store to ``target`` in ``statement`` and the loops around it, or None if there are several."""
    found: list[tuple[tirx.BufferStore, list[tirx.For]]] = []
    complete = True

    def visit(node: tirx.Stmt, loops: list[tirx.For]) -> None:
        nonlocal complete
        if isinstance(node, tirx.For):
            visit(node.body, [*loops, node])
        elif isinstance(node, tirx.SeqStmt):
            for child in node.seq:
                visit(child, loops)
        elif isinstance(node, tirx.IfThenElse):
            visit(node.then_case, loops)
            if node.else_case is not None:
                visit(node.else_case, loops)
        elif isinstance(node, tirx.AttrStmt):
            visit(node.body, loops)
        elif isinstance(node, tirx.BufferStore):
            if kernel.root_of(node.buffer).same_as(target):
                found.append((node, loops))
        elif not isinstance(node, tirx.DeclBuffer | tirx.Bind | tirx.Evaluate):
            complete = False

    visit(statement, [])
    return found[0] if complete and len(found) == 1 else None


def _is_injective(index: tvm.ir.Expr, loops: list[tirx.For]) -> bool:
    """Whether different iterations of ``loops`` give different values of ``index`` (mixed-radix test)."""
    terms: list[tuple[int, int]] = []
    if isinstance(index, tirx.Ramp):
        if not (isinstance(index.stride, tirx.IntImm) and isinstance(index.lanes, tirx.IntImm | int)):
            return False
        terms.append((int(index.stride), int(index.lanes)))
        index = index.base
    variables = [loop.loop_var for loop in loops]
    if not _depends_only_on(index, variables) or not all(map(_counts_from_a_constant, loops)):
        return False
    if variables:
        coefficients = sym.detect_linear_equation(index, variables)
        if not coefficients:
            return False
        for loop, coefficient in zip(loops, coefficients, strict=False):
            if not (isinstance(coefficient, tirx.IntImm) and isinstance(loop.extent, tirx.IntImm)):
                return False
            terms.append((int(coefficient), int(loop.extent)))
    return is_injective(terms)


def _depends_only_on(index: tvm.ir.Expr, variables: list[Var]) -> bool:
    """Whether ``index`` uses only ``variables``. Any other variable could cancel one of them."""
    found: list[Var] = []
    tvm_ffi.structural_walk(index, (Var, found.append))
    return all(any(v.same_as(variable) for variable in variables) for v in found)


def _counts_from_a_constant(loop: tirx.For) -> bool:
    return isinstance(loop.min, tirx.IntImm) and (loop.step is None or int(loop.step) == 1)
