"""Index expressions as sums of loop digits: the plain twin of native/linear_form.h.

A digit of a loop is floor(variable / divisor) mod count; splitting and fusing loops makes nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Term(NamedTuple):
    """coefficient · (floor(loop / divisor) mod values)."""

    loop: int
    divisor: int
    values: int
    coefficient: int


@dataclass(frozen=True, slots=True)
class Form:
    """constant + Σ terms; ``irregular`` where the index also depends on data or on what is no sum of digits."""

    constant: int = 0
    terms: tuple[Term, ...] = ()
    irregular: bool = False


def loop_form(loop: int, minimum: int, extent: int) -> Form:
    """The variable of a loop."""
    return Form(minimum, (Term(loop, 1, extent, 1),) if extent > 1 else ())


def add(left: Form, right: Form, sign: int = 1) -> Form:
    """left + sign · right."""
    terms = list(left.terms)
    for term in right.terms:
        _merge(terms, term._replace(coefficient=sign * term.coefficient))
    return Form(left.constant + sign * right.constant, _nonzero(terms), left.irregular or right.irregular)


def multiply(left: Form, right: Form) -> Form:
    """left · right, exact where one of them is a constant."""
    if left.terms and right.terms:
        return Form(0, (), True)
    form, factor = (left, right.constant) if left.terms else (right, left.constant)
    terms = [t._replace(coefficient=t.coefficient * factor) for t in form.terms]
    return Form(form.constant * factor, _nonzero(terms), left.irregular or right.irregular)


def floor_divide(form: Form, divisor: Form) -> Form:
    """floor(form / divisor) by digits; carries between terms that the divisor cuts through are neglected."""
    by = divisor.constant
    if divisor.terms or by <= 0:
        return Form(0, (), True)
    terms: list[Term] = []
    for term in form.terms:
        size = abs(term.coefficient)
        if size >= by:
            _merge(terms, term._replace(coefficient=_sign(term.coefficient) * (size // by)))
            continue
        step = -(-by // size)
        if term.values > step:
            count = -(-term.values // step)
            _merge(terms, Term(term.loop, term.divisor * step, count, _sign(term.coefficient)))
    return Form(form.constant // by, _nonzero(terms), form.irregular or divisor.irregular)


def floor_modulo(form: Form, divisor: Form) -> Form:
    """form mod divisor by digits, neglecting carries."""
    by = divisor.constant
    if divisor.terms or by <= 0:
        return Form(0, (), True)
    terms: list[Term] = []
    for term in form.terms:
        size = abs(term.coefficient)
        if size >= by:
            _merge(terms, term._replace(coefficient=_sign(term.coefficient) * (size % by)))
            continue
        step = -(-by // size)
        _merge(terms, term._replace(values=min(term.values, step)))
    return Form(form.constant % by, _nonzero(terms), form.irregular or divisor.irregular)


def either(first: Form, second: Form) -> Form:
    """Stands for min, max or a selection: the operand that moves."""
    chosen = first if first.terms else second
    return Form(chosen.constant, chosen.terms, first.irregular or second.irregular)


def upper_bound(form: Form) -> int:
    """The largest value."""
    return form.constant + sum(t.coefficient * (t.values - 1) for t in form.terms if t.coefficient > 0)


def _sign(value: int) -> int:
    return 1 if value > 0 else -1


def _merge(terms: list[Term], new: Term) -> None:
    for i, term in enumerate(terms):
        if term[:3] == new[:3]:
            terms[i] = term._replace(coefficient=term.coefficient + new.coefficient)
            return
    terms.append(new)


def _nonzero(terms: Iterable[Term]) -> tuple[Term, ...]:
    return tuple(term for term in terms if term.coefficient)
