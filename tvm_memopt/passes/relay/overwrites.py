"""Kernel statements that read each element of one buffer before they write the same element of another.

The two buffers may then share one address: the residual that a convolution's last loop adds, for example, and the
result that the loop writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import tir

from tvm_memopt.passes.injective import is_injective
from tvm_memopt.passes.relay.access_order import reads_before_writes
from tvm_memopt.passes.relay.program import identity

_AROUND = (tir.Allocate, tir.AttrStmt, tir.LetStmt, tir.AssertStmt, tir.AllocateConst, tir.DeclBuffer)


@dataclass
class _Accesses:
    """Stores with the loops around them, and loads outside and inside their values, by buffer identity."""

    stores: dict[int, list[tuple[Any, list[Any], dict[Any, Any]]]] = field(default_factory=dict)
    loads: dict[int, int] = field(default_factory=dict)
    complete: bool = True


def overwritten(statement: Any, sources: Sequence[Any], targets: Sequence[Any]) -> list[tuple[int, int]]:
    """Positions (source, target) of buffer variables such that ``target`` may take the address of ``source``.

    True for a single store to the target in whose value are all loads of the source, if no element is read after the
    same position was written. The statement must not store to the source.
    """
    accesses = _Accesses()
    _visit(statement, [], {}, accesses)
    if not accesses.complete:
        return []
    found = []
    for t, target in enumerate(targets):
        stores = accesses.stores.get(identity(target), [])
        if len(stores) != 1:
            continue
        distinct = _differs_in_every_iteration(*stores[0])
        for s, source in enumerate(sources):
            if identity(source) in accesses.stores or not _loads_only_in_value(stores[0], source, accesses):
                continue
            if (distinct and _reads_same_element(stores[0], source)) or reads_before_writes(*stores[0], source):
                found.append((s, t))
    return found


def _loads_only_in_value(store: tuple[Any, list[Any], dict[Any, Any]], source: Any, accesses: _Accesses) -> bool:
    """Whether the stored value holds all loads of ``source``, through buffers of the store's element type."""
    loads: list[bool] = []

    def visit(part: Any) -> None:
        if isinstance(part, tir.BufferLoad) and identity(part.buffer.data) == identity(source):
            loads.append(len(part.indices) == 1 and str(part.buffer.dtype) == str(store[0].buffer.dtype))

    tir.stmt_functor.post_order_visit(store[0].value, visit)
    return bool(loads) and all(loads) and len(loads) == accesses.loads.get(identity(source), 0)


@tir.transform.prim_func_pass(opt_level=0, name="memopt.DescendingCopies")
def descending_copies(func: Any, _mod: Any, _context: Any) -> Any:
    """Run copies into scratch backwards where they may then overwrite what they read, as padding may.

    Values are the same: each element is stored once, by a loop nest of its own.
    """
    allocated: list[Any] = []

    def find(node: Any) -> None:
        if isinstance(node, tir.Allocate):
            allocated.append(node.buffer_var)

    tir.stmt_functor.post_order_visit(func.body, find)
    backwards = {identity(unit) for unit in top_statements(func.body) if _better_backwards(unit, allocated)}
    if not backwards:
        return func

    def change(node: Any) -> Any:
        return _reversed(node) if identity(node) in backwards else None

    return func.with_body(tir.stmt_functor.ir_transform(func.body, change, None, ["tir.For"]))


def top_statements(statement: Any) -> list[Any]:
    """The statements of a kernel below its allocations, in order."""
    while isinstance(statement, _AROUND):
        statement = statement.body
    if isinstance(statement, tir.SeqStmt):
        return [unit for child in statement.seq for unit in top_statements(child)]
    return [statement]


def _better_backwards(unit: Any, allocated: Sequence[Any]) -> bool:
    accesses = _Accesses()
    if not isinstance(unit, tir.For):
        return False
    _visit(unit, [], {}, accesses)
    stores = [store for each in accesses.stores.values() for store in each]
    if not accesses.complete or len(stores) != 1 or not _differs_in_every_iteration(*stores[0]):
        return False
    target = stores[0][0].buffer.data
    if not any(target.same_as(variable) for variable in allocated):
        return False
    sources = [v for v in _loaded(stores[0][0].value) if not v.same_as(target)]
    if len(sources) != 1 or not _loads_only_in_value(stores[0], sources[0], accesses):
        return False
    forwards = reads_before_writes(*stores[0], sources[0])
    return not forwards and reads_before_writes(*stores[0], sources[0], descending=True)


def _loaded(value: Any) -> list[Any]:
    found: dict[int, Any] = {}

    def visit(part: Any) -> None:
        if isinstance(part, tir.BufferLoad):
            found[identity(part.buffer.data)] = part.buffer.data

    tir.stmt_functor.post_order_visit(value, visit)
    return list(found.values())


def _reversed(statement: Any) -> Any:
    """A loop nest with every loop backwards."""
    if isinstance(statement, tir.For):
        last = statement.min * 2 + statement.extent - 1
        body = tir.stmt_functor.substitute(_reversed(statement.body), {statement.loop_var: last - statement.loop_var})
        return tir.For(
            statement.loop_var,
            statement.min,
            statement.extent,
            statement.kind,
            body,
            statement.thread_binding,
            statement.annotations,
        )
    if isinstance(statement, tir.LetStmt):
        return tir.LetStmt(statement.var, statement.value, _reversed(statement.body))
    if isinstance(statement, tir.AttrStmt):
        return tir.AttrStmt(statement.node, statement.attr_key, statement.value, _reversed(statement.body))
    if isinstance(statement, tir.IfThenElse):
        other = None if statement.else_case is None else _reversed(statement.else_case)
        return tir.IfThenElse(statement.condition, _reversed(statement.then_case), other)
    return statement


def _visit(statement: Any, loops: list[Any], lets: dict[Any, Any], accesses: _Accesses) -> None:
    if isinstance(statement, tir.For):
        _count_loads((statement.min, statement.extent), accesses)
        _visit(statement.body, [*loops, statement], lets, accesses)
    elif isinstance(statement, tir.SeqStmt):
        for child in statement.seq:
            _visit(child, loops, lets, accesses)
    elif isinstance(statement, tir.IfThenElse):
        _count_loads((statement.condition,), accesses)
        _visit(statement.then_case, loops, lets, accesses)
        if statement.else_case is not None:
            _visit(statement.else_case, loops, lets, accesses)
    elif isinstance(statement, tir.LetStmt):
        _count_loads((statement.value,), accesses)
        value = tir.stmt_functor.substitute(statement.value, lets)
        _visit(statement.body, loops, {**lets, statement.var: value}, accesses)
    elif isinstance(statement, (tir.AttrStmt, tir.Allocate, tir.DeclBuffer)):
        _visit(statement.body, loops, lets, accesses)
    elif isinstance(statement, tir.BufferStore):
        _count_loads((statement.value, *statement.indices), accesses)
        accesses.stores.setdefault(identity(statement.buffer.data), []).append((statement, loops, lets))
    else:
        accesses.complete = False


def _count_loads(expressions: Sequence[Any], accesses: _Accesses) -> None:
    def visit(node: Any) -> None:
        if isinstance(node, tir.BufferLoad):
            key = identity(node.buffer.data)
            accesses.loads[key] = accesses.loads.get(key, 0) + 1
        elif isinstance(node, tir.Var) and isinstance(node.type_annotation, tvm.ir.PointerType):
            accesses.complete = False  # a raw pointer may reach any element

    for expression in expressions:
        tir.stmt_functor.post_order_visit(expression, visit)


def _reads_same_element(store: tuple[Any, list[Any], dict[Any, Any]], source: Any) -> bool:
    """Whether the stored value loads from ``source`` at the index of the store alone."""
    node, _, lets = store
    if len(node.indices) != 1:
        return False
    index = tir.stmt_functor.substitute(node.indices[0], lets)
    matching: list[bool] = []

    def visit(part: Any) -> None:
        if isinstance(part, tir.BufferLoad) and identity(part.buffer.data) == identity(source):
            read = tir.stmt_functor.substitute(part.indices[0], lets)
            matching.append(bool(tvm.ir.structural_equal(read, index)))

    tir.stmt_functor.post_order_visit(node.value, visit)
    return all(matching)


def _differs_in_every_iteration(node: Any, loops: Sequence[Any], lets: Mapping[Any, Any]) -> bool:
    if len(node.indices) != 1:
        return False
    index = tir.stmt_functor.substitute(node.indices[0], dict(lets))
    terms: list[tuple[int, int]] = []
    if isinstance(index, tir.Ramp):
        if not isinstance(index.stride, tir.IntImm):
            return False
        terms.append((int(index.stride), int(index.lanes)))
        index = index.base
    variables = [loop.loop_var for loop in loops]
    if not all(isinstance(loop.min, tir.IntImm) and isinstance(loop.extent, tir.IntImm) for loop in loops):
        return False
    if variables:
        coefficients = tvm.arith.detect_linear_equation(index, variables)
        if not coefficients or not all(isinstance(c, tir.IntImm) for c in coefficients):
            return False
        terms += [(int(c), int(loop.extent)) for loop, c in zip(loops, coefficients, strict=False)]
    used: list[Any] = []
    tir.stmt_functor.post_order_visit(index, lambda part: used.append(part) if isinstance(part, tir.Var) else None)
    known = [v for v in used if any(v.same_as(variable) for variable in variables)]
    return len(known) == len(used) and is_injective(terms)
