"""The order in which a loop nest reads one buffer and writes another, element by element.

Extents are constants after lowering, so the iterations are enumerated, and the answer is exact. A copy into a padded
buffer writes behind what it has read; in descending order it may do so in the memory of the buffer that it reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import tir

from tvm_memopt.passes.relay.program import identity

MOST_ITERATIONS = 4_000_000
_BINARY: dict[Any, Callable[[Any, Any], Any]] = {
    tir.Add: np.add,
    tir.Sub: np.subtract,
    tir.Mul: np.multiply,
    tir.FloorDiv: np.floor_divide,
    tir.FloorMod: np.mod,
    tir.Min: np.minimum,
    tir.Max: np.maximum,
    tir.LT: np.less,
    tir.LE: np.less_equal,
    tir.GT: np.greater,
    tir.GE: np.greater_equal,
    tir.EQ: np.equal,
    tir.NE: np.not_equal,
    tir.And: np.logical_and,
    tir.Or: np.logical_or,
}


class _UnknownError(Exception):
    """An index that is not computed from loop variables and constants."""


def reads_before_writes(
    node: Any, loops: Sequence[Any], lets: Mapping[Any, Any], source: Any, *, descending: bool = False
) -> bool:
    """Whether the store ``node``, the only one of its loop nest, may write over the memory of ``source``.

    ``source``: a buffer variable whose loads are all in the stored value, with elements of the same type. No element
    is read after an element at the same position was written. ``loops``: from the outermost; ``lets``: values of let
    variables. ``descending``: if all loops ran backwards.
    """
    counts = [_extent(loop) for loop in loops]
    if None in counts or math.prod(c or 0 for c in counts) > MOST_ITERATIONS or len(node.indices) != 1:
        return False
    values = _loop_values(loops, [c or 0 for c in counts])
    try:
        reads = _read_positions(node.value, lets, values, source)
        writes = _evaluated(tir.stmt_functor.substitute(node.indices[0], dict(lets)), values)
    except _UnknownError:
        return False
    count = math.prod(c or 0 for c in counts)
    if not count or not reads:
        return False
    times = np.arange(count)[::-1] if descending else np.arange(count)
    writes, everywhere = _spread(writes, None, count)
    spread = [_spread(at, where, count) for at, where in reads]
    size = 1 + max(int(at.max()) for at, _ in [(writes, everywhere), *spread])
    first_write = np.full(size, count)
    np.minimum.at(first_write, *_accesses(writes, everywhere, times))
    last_read = np.full(size, -1)
    for at, where in spread:
        np.maximum.at(last_read, *_accesses(at, where, times))
    return bool((last_read <= first_write).all())


def _extent(loop: Any) -> int | None:
    constant = isinstance(loop.min, tir.IntImm) and isinstance(loop.extent, tir.IntImm)
    return int(loop.extent) if constant else None


def _loop_values(loops: Sequence[Any], counts: Sequence[int]) -> dict[int, np.ndarray]:
    """The value of each loop variable in each iteration, in the order of execution."""
    grid = np.indices(counts).reshape(len(counts), -1) if counts else np.zeros((0, 1), int)
    return {identity(loop.loop_var): row + int(loop.min) for loop, row in zip(loops, grid, strict=True)}


def _spread(at: np.ndarray, where: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and whether each is accessed, both of shape [iterations, vector lanes]."""
    conditions = np.asarray(True) if where is None else where
    rows = [a if a.ndim == 2 else a.reshape(-1, 1) for a in (at, conditions)]
    lanes = max(a.shape[1] for a in rows)
    positions, accessed = (np.broadcast_to(a, (count, lanes)) for a in rows)
    return positions, accessed


def _accesses(at: np.ndarray, where: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions that are accessed, and when."""
    wanted = where & (at >= 0)
    return at[wanted], np.broadcast_to(times[:, None], at.shape)[wanted]


def _read_positions(
    value: Any, lets: Mapping[Any, Any], values: Mapping[int, np.ndarray], source: Any
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Positions that the value loads from ``source``, each with the condition under which it is loaded."""
    found: list[tuple[np.ndarray, np.ndarray | None]] = []

    def visit(expression: Any, where: np.ndarray | None) -> None:
        if isinstance(expression, tir.BufferLoad) and identity(expression.buffer.data) == identity(source):
            index = tir.stmt_functor.substitute(expression.indices[0], dict(lets))
            found.append((_evaluated(index, values), where))
        elif isinstance(expression, tir.Call) and getattr(expression.op, "name", "") == "tir.if_then_else":
            condition = _evaluated(tir.stmt_functor.substitute(expression.args[0], dict(lets)), values)
            visit(expression.args[1], condition if where is None else _both(where, condition))
            visit(expression.args[2], ~condition if where is None else _both(where, ~condition))
        else:
            for part in _parts(expression):
                visit(part, where)

    visit(value, None)
    return found


def _both(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if one.ndim != other.ndim:
        one, other = (c if c.ndim == 2 else c.reshape(-1, 1) for c in (one, other))
    return np.asarray(one & other)


def _parts(expression: Any) -> list[Any]:
    """The operands of an expression."""
    if isinstance(expression, tir.Let):
        raise _UnknownError
    if isinstance(expression, tir.BufferLoad):
        return list(expression.indices)
    if isinstance(expression, tir.Call):
        return [argument for argument in expression.args if isinstance(argument, tvm.ir.PrimExpr)]
    names = ("a", "b", "value", "condition", "true_value", "false_value", "base", "stride")
    found = [getattr(expression, name) for name in names if hasattr(expression, name)]
    return [part for part in found if isinstance(part, tvm.ir.PrimExpr)]


def _evaluated(expression: Any, values: Mapping[int, np.ndarray]) -> np.ndarray:
    """The value of an integer expression in each iteration; vectors get a second axis."""
    for kind, function in _BINARY.items():
        if isinstance(expression, kind):
            left, right = (_evaluated(part, values) for part in (expression.a, expression.b))
            return np.asarray(function(left, right))
    for kind, evaluate in _OTHERS.items():
        if isinstance(expression, kind):
            return np.asarray(evaluate(expression, values))
    raise _UnknownError


def _variable(expression: Any, values: Mapping[int, np.ndarray]) -> np.ndarray:
    if identity(expression) not in values:
        raise _UnknownError
    found: np.ndarray = values[identity(expression)]
    return found


def _ramp(expression: Any, values: Mapping[int, np.ndarray]) -> np.ndarray:
    base, stride = (np.atleast_1d(_evaluated(part, values))[:, None] for part in (expression.base, expression.stride))
    return base + stride * np.arange(int(expression.lanes))


def _likely(expression: Any, values: Mapping[int, np.ndarray]) -> np.ndarray:
    if getattr(expression.op, "name", "") != "tir.likely":
        raise _UnknownError
    inside: np.ndarray = _evaluated(expression.args[0], values)
    return inside


_OTHERS: dict[Any, Callable[[Any, Mapping[int, np.ndarray]], Any]] = {
    tir.IntImm: lambda e, _: int(e.value),
    tir.Var: _variable,
    tir.Ramp: _ramp,
    tir.Broadcast: lambda e, values: np.atleast_1d(_evaluated(e.value, values))[:, None],
    tir.Cast: lambda e, values: _evaluated(e.value, values),
    tir.Not: lambda e, values: np.logical_not(_evaluated(e.a, values)),
    tir.Call: _likely,
}
