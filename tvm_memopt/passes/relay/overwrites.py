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
from tvm_memopt.passes.relay.program import identity


@dataclass
class _Accesses:
    """Stores with the loops around them, and loads outside and inside their values, by buffer identity."""

    stores: dict[int, list[tuple[Any, list[Any], dict[Any, Any]]]] = field(default_factory=dict)
    loads: dict[int, int] = field(default_factory=dict)
    complete: bool = True


def overwritten(statement: Any, sources: Sequence[Any], targets: Sequence[Any]) -> list[tuple[int, int]]:
    """Positions (source, target) of buffer variables such that ``target`` may take the address of ``source``.

    True for a single store to the target, at an index that differs in every iteration, in whose value are all loads of
    the source, at the same index. The statement must not store to the source.
    """
    accesses = _Accesses()
    _visit(statement, [], {}, accesses)
    if not accesses.complete:
        return []
    found = []
    for t, target in enumerate(targets):
        stores = accesses.stores.get(identity(target), [])
        if len(stores) != 1 or not _differs_in_every_iteration(*stores[0]):
            continue
        for s, source in enumerate(sources):
            if identity(source) not in accesses.stores and _reads_same_element(stores[0], source, accesses):
                found.append((s, t))
    return found


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


def _reads_same_element(store: tuple[Any, list[Any], dict[Any, Any]], source: Any, accesses: _Accesses) -> bool:
    node, _, lets = store
    index = tir.stmt_functor.substitute(node.indices[0], lets) if len(node.indices) == 1 else None
    matching: list[bool] = []

    def visit(part: Any) -> None:
        if isinstance(part, tir.BufferLoad) and identity(part.buffer.data) == identity(source):
            same = len(part.indices) == 1 and str(part.buffer.dtype) == str(node.buffer.dtype)
            read = tir.stmt_functor.substitute(part.indices[0], lets) if same else None
            matching.append(same and index is not None and bool(tvm.ir.structural_equal(read, index)))

    tir.stmt_functor.post_order_visit(node.value, visit)
    return bool(matching) and all(matching) and len(matching) == accesses.loads.get(identity(source), 0)


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
