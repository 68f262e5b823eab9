"""Whether a nest of loops with several stages reads each element of a buffer before it overwrites it.

A kernel that runs its stages band by band reads an input in several stages. Its output may take the memory of that
input if no element is written before its last read.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import tvm
import tvm_ffi
from tvm import sym, tirx
from tvm.ir import Var
from tvm.ir.expr import TensorLoad

from tvm_memopt.passes.tir.statements import FlatKernel, variables_of

_UNBOUNDED = 2**62


@dataclass(frozen=True)
class _Access:
    """An access by the ``leaf``-th expression or store of a nest, inside ``loops``, outermost first.

    It happens only where ``conditions`` hold.
    """

    leaf: int
    loops: tuple[tirx.For, ...]
    conditions: tuple[tvm.ir.Expr, ...]
    index: tvm.ir.Expr


def reads_precede_writes(kernel: FlatKernel, index: int, source: Var, target: Var) -> bool:
    """Whether statement ``index``, if both buffers were one, would read each element before it overwrites it.

    The loads of ``source`` and the stores of ``target`` are compared by the loops that they share: their addresses
    must advance alike, and no store of an earlier iteration may reach a load of a later one. Sufficient, not
    necessary. The statement must not write ``source``.
    """
    accesses = _Accesses(kernel, source, target)
    accesses.visit(kernel.statements[index], (), ())
    pairs = [(load, store) for load in accesses.loads for store in accesses.stores]
    return accesses.known and all(_precedes(load, store) for load, store in pairs)


@dataclass
class _Accesses:
    """The loads of ``source`` and stores of ``target`` in a statement. ``known``: whether all of them were found."""

    kernel: FlatKernel
    source: Var
    target: Var
    loads: list[_Access] = field(default_factory=list)
    stores: list[_Access] = field(default_factory=list)
    known: bool = True
    _leaf: int = 0

    def visit(self, node: tirx.Stmt, loops: tuple[tirx.For, ...], conditions: tuple[tvm.ir.Expr, ...]) -> None:
        """Collect the accesses in ``node``, in the order of the program's text."""
        if isinstance(node, tirx.For):
            self.known &= node.kind == tirx.ForKind.SERIAL and all(map(_is_constant, (node.min, node.extent)))
            self.known &= node.step is None or _is_constant(node.step)
            self.visit(node.body, (*loops, node), conditions)
        elif isinstance(node, tirx.SeqStmt):
            for child in node.seq:
                self.visit(child, loops, conditions)
        elif isinstance(node, tirx.IfThenElse):
            self._read(node.condition, loops, conditions)
            self.visit(node.then_case, loops, (*conditions, node.condition))
            if node.else_case is not None:
                self.visit(node.else_case, loops, conditions)
        elif isinstance(node, tirx.BufferStore):
            self._read(node.value, loops, conditions)
            self._store(node, loops, conditions)
        elif isinstance(node, tirx.Evaluate | tirx.Bind):
            self._read(node.value, loops, conditions)
        elif not isinstance(node, tirx.DeclBuffer | tirx.AllocBuffer):
            self.known = False

    def _store(self, node: tirx.BufferStore, loops: tuple[tirx.For, ...], conditions: tuple[tvm.ir.Expr, ...]) -> None:
        for index in node.indices:
            self._read(index, loops, conditions)
        if self.kernel.root_of(node.buffer).same_as(self.target):
            self.known &= len(node.indices) == 1
            self.stores.append(_Access(self._leaf, loops, conditions, node.indices[0]))
        self._leaf += 1

    def _read(self, node: tvm.ir.Expr, loops: tuple[tirx.For, ...], conditions: tuple[tvm.ir.Expr, ...]) -> None:
        """Collect the loads in ``node``. The parts of a choice by ``if_then_else`` are read only where it holds."""

        def on_node(found: tvm.ir.Expr) -> tvm_ffi.WalkResult | None:
            if isinstance(found, TensorLoad) and self.kernel.root_of(found.source).same_as(self.source):
                self.known &= len(found.indices) == 1
                self.loads.append(_Access(self._leaf, loops, conditions, found.indices[0]))
            elif _is_choice(found):
                self._read(found.args[0], loops, conditions)
                self._read(found.args[1], loops, (*conditions, found.args[0]))
                self._read(found.args[2], loops, conditions)
                return tvm_ffi.WalkResult.SKIP
            return None

        tvm_ffi.structural_walk(node, ((TensorLoad, on_node), (tvm.ir.Call, on_node)), order="pre")


def _is_constant(value: object) -> bool:
    return isinstance(value, tirx.IntImm)


def _is_choice(node: tvm.ir.Expr) -> bool:
    return isinstance(node, tvm.ir.Call) and getattr(node.op, "name", "").endswith("if_then_else")


def _precedes(load: _Access, store: _Access) -> bool:
    """Whether no store to an address precedes a load from it."""
    if store.leaf < load.leaf:
        return False
    shared = [a for a, b in zip(load.loops, store.loops, strict=False) if a.same_as(b)]
    read, written = _Addresses.of(load, shared), _Addresses.of(store, shared)
    if read is None or written is None or read.strides != written.strides:
        return False
    return written.high < read.low + _least_advance(written.strides, [int(loop.extent) for loop in shared])


@dataclass(frozen=True)
class _Addresses:
    """Addresses of an access: the sum of stride × counter over some loops, plus a number from ``low`` to ``high``."""

    strides: tuple[int, ...]
    low: int
    high: int

    @classmethod
    def of(cls, access: _Access, shared: Sequence[tirx.For]) -> _Addresses | None:
        """The addresses of ``access`` by the ``shared`` loops. None if they are not a linear function of those."""
        index, length = access.index, 0
        if isinstance(index, tirx.Ramp):
            if not (_is_constant(index.stride) and _is_constant(index.lanes) and int(index.stride) > 0):
                return None
            index, length = index.base, int(index.stride) * (int(index.lanes) - 1)
        counters = [loop.loop_var for loop in shared]
        terms = list(sym.detect_linear_equation(index, counters)) if counters else [index]
        if len(terms) != len(counters) + 1 or not all(map(_is_constant, terms[:-1])):
            return None
        bounds = _bounds(terms[-1], access, len(shared))
        strides = tuple(int(stride) for stride in terms[:-1])
        return None if bounds is None else cls(strides, bounds[0], bounds[1] + length)


def _bounds(rest: tvm.ir.Expr, access: _Access, shared: int) -> tuple[int, int] | None:
    """Least and greatest value of ``rest`` over the loops of ``access`` inside the first ``shared``."""
    analyzer = sym.Analyzer()
    for loop in access.loops:
        analyzer.bind(loop.loop_var, tvm.ir.Range.from_min_extent(loop.min, loop.extent))
    inner = {loop.loop_var for loop in access.loops[shared:]}
    if not variables_of(rest) <= inner:
        return None
    with contextlib.ExitStack() as stack:
        for condition in access.conditions:
            stack.enter_context(analyzer.constraint_scope(condition))
        found = analyzer.const_int_bound(analyzer.simplify(rest))
    limits = int(found.min_value), int(found.max_value)
    return limits if max(map(abs, limits)) < _UNBOUNDED else None


def _least_advance(strides: Sequence[int], extents: Sequence[int]) -> float:
    """The least that the sum of stride × counter grows from one iteration of nested loops to any later one."""
    least, reach = math.inf, 0
    for stride, extent in reversed([pair for pair in zip(strides, extents, strict=True) if pair[1] > 1]):
        if stride < 0:
            return -math.inf
        least = min(least, stride - reach)
        reach += stride * (extent - 1)
    return least
