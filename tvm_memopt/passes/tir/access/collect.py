"""The loads and stores of a flat kernel, each with the loops around it and its place in the order of execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import Var
from tvm.ir.expr import TensorLoad

from tvm_memopt.passes.tir.access.affine import Affine, IndexReader, UnknownIndexError, between, constant
from tvm_memopt.passes.tir.statements import FlatKernel, element_count


class UnknownOrderError(Exception):
    """A kernel whose order of execution is not known."""


@dataclass(frozen=True)
class Loop:
    """A loop over ``first`` to ``last``. ``ordered``: iterations run one after the other, in ascending order."""

    variable: Var
    first: int
    last: int
    ordered: bool


@dataclass(frozen=True)
class Access:
    """A load or a store of elements of ``buffer``, a parameter or an allocation.

    ``index``: of the elements, over the variables of ``loops``, outermost first. ``place``: one number for each loop
    and one for the statement itself, which order statements within one iteration of the loops they share. The loads of
    a stored value have the place of the store, and come before it.
    """

    buffer: Var
    index: Affine
    loops: tuple[Loop, ...]
    place: tuple[int, ...]


@dataclass
class _Collector:
    kernel: FlatKernel
    reader: IndexReader = field(default_factory=IndexReader)
    loads: list[Access] = field(default_factory=list)
    stores: list[Access] = field(default_factory=list)

    def visit(self, statement: Any, loops: tuple[Loop, ...], place: tuple[int, ...], number: int) -> int:
        """Collect from ``statement``, whose place is ``place`` and ``number``. Returns the next free number."""
        if isinstance(statement, tirx.For):
            self._read((statement.min, statement.extent), loops, (*place, number))
            loop = self._loop(statement)
            if loop.first <= loop.last:  # otherwise the body never runs
                self.visit(statement.body, (*loops, loop), (*place, number + 1), 0)
            return number + 2
        if isinstance(statement, tirx.SeqStmt):
            for child in statement.seq:
                number = self.visit(child, loops, place, number)
            return number
        if isinstance(statement, tirx.IfThenElse):
            self._read((statement.condition,), loops, (*place, number))
            number = self.visit(statement.then_case, loops, place, number + 1)
            other = statement.else_case
            return number if other is None else self.visit(other, loops, place, number)
        if isinstance(statement, tirx.AttrStmt):
            self._read((statement.value,), loops, (*place, number))
            return self.visit(statement.body, loops, place, number + 1)
        self._plain(statement, loops, (*place, number))
        return number + 1

    def _plain(self, statement: Any, loops: tuple[Loop, ...], place: tuple[int, ...]) -> None:
        if isinstance(statement, tirx.BufferStore):
            self._read((statement.value, *statement.indices), loops, place)
            self.stores.append(self._access(statement.buffer, statement.indices, loops, place))
        elif isinstance(statement, tirx.Bind):
            self._read((statement.value,), loops, place)
            self._bind(statement)
        elif isinstance(statement, tirx.Evaluate):
            self._read((statement.value,), loops, place)
        elif not isinstance(statement, tirx.AllocBuffer | tirx.DeclBuffer):
            raise UnknownOrderError(str(type(statement)))

    def _loop(self, statement: tirx.For) -> Loop:
        if statement.step is not None and not _is_one(statement.step):
            raise UnknownOrderError("a loop with a step")
        try:
            low, high = (self.reader.bounds(self.reader.form(e)) for e in (statement.min, statement.extent))
        except UnknownIndexError:
            raise UnknownOrderError("a loop of unknown extent") from None
        if low[0] != low[1]:
            raise UnknownOrderError("a loop that begins at a variable")
        ordered = statement.kind in (tirx.ForKind.SERIAL, tirx.ForKind.UNROLLED)
        loop = Loop(statement.loop_var, int(low[0]), int(low[0] + high[1]) - 1, ordered)
        self.reader.ranges[loop.variable] = (loop.first, loop.last)
        return loop

    def _bind(self, statement: tirx.Bind) -> None:
        try:
            self.reader.bound[statement.var] = self.reader.form(statement.value)
        except UnknownIndexError:
            return  # an index that uses it is unknown

    def _read(self, expressions: Sequence[Any], loops: tuple[Loop, ...], place: tuple[int, ...]) -> None:
        def on_load(load: TensorLoad) -> None:
            self.loads.append(self._access(load.source, load.indices, loops, place))

        for expression in expressions:
            tvm_ffi.structural_walk(expression, (TensorLoad, on_load))

    def _access(self, handle: Var, indices: Sequence[Any], loops: tuple[Loop, ...], place: tuple[int, ...]) -> Access:
        return Access(self.kernel.root_of(handle), self._index(handle, indices), loops, place)

    def _index(self, handle: Var, indices: Sequence[Any]) -> Affine:
        """The position in memory, counted in elements. Anywhere in the buffer if it is not known."""
        try:
            total = constant(0)
            for index, extent in zip(indices, handle.shape, strict=True):
                total = total.scaled(Fraction(int(extent))).plus(self.reader.form(index))
            return total
        except (UnknownIndexError, TypeError, ValueError):
            count = element_count(handle)
            if count is None:
                raise UnknownOrderError(f"buffer {handle.name} has no fixed size") from None
            return between(0, max(count - 1, 0))


def _is_one(step: Any) -> bool:
    return int(step) == 1


def accesses(kernel: FlatKernel) -> tuple[list[Access], list[Access]]:
    """The (loads, stores) of ``kernel``. O(nodes).

    Raises UnknownOrderError where the order of execution, or the extent of a loop, is not known.
    """
    collector = _Collector(kernel)
    number = 0
    for statement in kernel.statements:
        number = collector.visit(statement, (), (), number)
    return collector.loads, collector.stores
