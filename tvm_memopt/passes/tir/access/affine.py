"""Index expressions as affine forms of loop variables, with bounds on what is not affine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import tvm
from tvm import tirx
from tvm.ir import Var


class UnknownIndexError(Exception):
    """An index of which nothing is known."""


@dataclass(frozen=True)
class Affine:
    """``sum(coefficient * variable)`` plus some number from ``low`` to ``high``.

    The number may depend on the variables in any way. An exact form has ``low == high``.
    """

    low: Fraction
    high: Fraction
    coefficients: Mapping[Var, Fraction] = field(default_factory=dict)

    def scaled(self, factor: Fraction) -> Affine:
        """The form times ``factor``."""
        ends = sorted((self.low * factor, self.high * factor))
        return Affine(ends[0], ends[1], {v: c * factor for v, c in self.coefficients.items() if factor})

    def plus(self, other: Affine) -> Affine:
        """The sum of two forms."""
        total = dict(self.coefficients)
        for variable, coefficient in other.coefficients.items():
            total[variable] = total.get(variable, Fraction(0)) + coefficient
        kept = {v: c for v, c in total.items() if c}
        return Affine(self.low + other.low, self.high + other.high, kept)

    def bounds(self, ranges: Mapping[Var, tuple[int, int]]) -> tuple[Fraction, Fraction]:
        """The least and the largest value where each variable takes every value of its range, ends included."""
        low, high = self.low, self.high
        for variable, coefficient in self.coefficients.items():
            ends = sorted(coefficient * end for end in ranges[variable])
            low, high = low + ends[0], high + ends[1]
        return low, high


def constant(value: int | Fraction) -> Affine:
    """The form of a number."""
    return Affine(Fraction(value), Fraction(value))


def between(low: int | Fraction, high: int | Fraction) -> Affine:
    """Some number from ``low`` to ``high``."""
    return Affine(Fraction(low), Fraction(high))


@dataclass
class IndexReader:
    """Turns index expressions into affine forms.

    ``ranges``: the values of each loop variable, ends included. ``bound``: forms of variables bound by let statements.
    """

    ranges: dict[Var, tuple[int, int]] = field(default_factory=dict)
    bound: dict[Var, Affine] = field(default_factory=dict)

    def form(self, expression: tvm.ir.Expr) -> Affine:
        """The affine form of ``expression``. Raises UnknownIndexError, for example where it depends on data."""
        for kind, read in _READERS.items():
            if isinstance(expression, kind):
                return read(self, expression)
        raise UnknownIndexError(str(type(expression)))

    def bounds(self, form: Affine) -> tuple[Fraction, Fraction]:
        """The least and the largest value of ``form``."""
        return form.bounds(self.ranges)

    def constant_of(self, expression: tvm.ir.Expr) -> Fraction:
        """The value of a constant expression. Raises UnknownIndexError."""
        form = self.form(expression)
        if form.coefficients or form.low != form.high:
            raise UnknownIndexError("not a constant")
        return form.low


def _variable(reader: IndexReader, expression: Var) -> Affine:
    if expression in reader.bound:
        return reader.bound[expression]
    if expression not in reader.ranges:
        raise UnknownIndexError(expression.name)
    return Affine(Fraction(0), Fraction(0), {expression: Fraction(1)})


def _product(reader: IndexReader, expression: Any) -> Affine:
    left, right = reader.form(expression.a), reader.form(expression.b)
    for one, other in ((left, right), (right, left)):
        if not one.coefficients and one.low == one.high:
            return other.scaled(one.low)
    ends = [x * y for x in reader.bounds(left) for y in reader.bounds(right)]
    return between(min(ends), max(ends))


def _quotient(reader: IndexReader, expression: Any) -> Affine:
    return _divided(reader, expression)[0]


def _remainder(reader: IndexReader, expression: Any) -> Affine:
    return _divided(reader, expression)[1]


def _divided(reader: IndexReader, expression: Any) -> tuple[Affine, Affine]:
    """Quotient and remainder of a division that rounds down.

    Terms that the divisor divides leave the remainder; where the rest stays within one divisor, both are exact.
    """
    divisor, form = reader.constant_of(expression.b), reader.form(expression.a)
    if divisor <= 0 or divisor.denominator != 1 or any(c.denominator != 1 for c in form.coefficients.values()):
        raise UnknownIndexError("a division by no positive integer")
    whole = {v: c for v, c in form.coefficients.items() if c % divisor == 0}
    rest = Affine(form.low, form.high, {v: c for v, c in form.coefficients.items() if v not in whole})
    low, high = reader.bounds(rest)
    turns = Fraction(low // divisor)
    if turns == high // divisor:
        quotient = Affine(turns, turns, {v: c / divisor for v, c in whole.items()})
        return quotient, rest.plus(constant(-turns * divisor))
    rounding = between(-(divisor - 1) / divisor, 0)
    return form.scaled(1 / divisor).plus(rounding), between(0, divisor - 1)


def _truncated(take: Callable[[IndexReader, Any], Affine]) -> Callable[[IndexReader, Any], Affine]:
    """Division that rounds to zero, which is the same for numbers that are not negative."""

    def read(reader: IndexReader, expression: Any) -> Affine:
        if reader.bounds(reader.form(expression.a))[0] < 0:
            raise UnknownIndexError("a division of a negative number")
        return take(reader, expression)

    return read


def _least(reader: IndexReader, expression: Any) -> Affine:
    return _extreme(reader, expression, min)


def _largest(reader: IndexReader, expression: Any) -> Affine:
    return _extreme(reader, expression, max)


def _extreme(reader: IndexReader, expression: Any, pick: Callable[..., Any]) -> Affine:
    """Minimum or maximum. Where one side is a constant, the other stays affine within the distance it is moved."""
    left, right = reader.form(expression.a), reader.form(expression.b)
    ends = [reader.bounds(left), reader.bounds(right)]
    for one, limit in ((left, ends[1]), (right, ends[0])):
        if one.coefficients and limit[0] == limit[1]:
            low, high = reader.bounds(one)
            moved = (pick(low, limit[0]) - low, pick(high, limit[0]) - high)
            return one.plus(between(min(*moved, Fraction(0)), max(*moved, Fraction(0))))
    return between(pick(ends[0][0], ends[1][0]), pick(ends[0][1], ends[1][1]))


def _ramp(reader: IndexReader, expression: tirx.Ramp) -> Affine:
    """All lanes of a vector: its first element plus up to ``stride * (lanes - 1)``."""
    reach = reader.constant_of(expression.stride) * (int(expression.lanes) - 1)
    return reader.form(expression.base).plus(between(min(reach, Fraction(0)), max(reach, Fraction(0))))


def _either(reader: IndexReader, expression: tirx.Select) -> Affine:
    return _union(reader, expression.true_value, expression.false_value)


def _call(reader: IndexReader, expression: tvm.ir.Call) -> Affine:
    name = getattr(expression.op, "name", "")
    if name.endswith("likely"):
        return reader.form(expression.args[0])
    if name.endswith("if_then_else"):
        return _union(reader, expression.args[1], expression.args[2])
    raise UnknownIndexError(name)


def _union(reader: IndexReader, one: tvm.ir.Expr, other: tvm.ir.Expr) -> Affine:
    first, second = (reader.bounds(reader.form(e)) for e in (one, other))
    return between(min(first[0], second[0]), max(first[1], second[1]))


_READERS: Mapping[Any, Callable[[IndexReader, Any], Affine]] = {
    tirx.IntImm: lambda _, e: constant(int(e.value)),
    tirx.Var: _variable,
    tirx.Add: lambda r, e: r.form(e.a).plus(r.form(e.b)),
    tirx.Sub: lambda r, e: r.form(e.a).plus(r.form(e.b).scaled(Fraction(-1))),
    tirx.Mul: _product,
    tirx.FloorDiv: _quotient,
    tirx.FloorMod: _remainder,
    tirx.Div: _truncated(_quotient),
    tirx.Mod: _truncated(_remainder),
    tirx.Min: _least,
    tirx.Max: _largest,
    tirx.Ramp: _ramp,
    tirx.Broadcast: lambda r, e: r.form(e.value),
    tirx.Cast: lambda r, e: r.form(e.value),
    tirx.Select: _either,
    tvm.ir.Call: _call,
}
