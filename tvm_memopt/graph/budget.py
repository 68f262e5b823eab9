"""Parsing of memory budgets given as text."""

from __future__ import annotations

import re
from fractions import Fraction

from tvm_memopt.byte_sizes import parse_bytes
from tvm_memopt.errors import BudgetError
from tvm_memopt.graph.liveness import given_order, peak_live
from tvm_memopt.graph.model import Graph

_PERCENT = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*%\s*")


def parse_budget(text: str | int, graph: Graph) -> int:
    """Convert a budget to bytes.

    ``text`` is a number of bytes (``196608``), a size with a unit (``"192KiB"``, ``"0.5MiB"``) or a percentage
    (``"80%"``) of the given order's peak memory, rounded up to a whole byte.

    Raises BudgetError for any other text and for a budget of zero or less.
    """
    return _positive(text, text if isinstance(text, int) else _parse(text, graph))


def check_budget_syntax(text: str | int) -> None:
    """Check the syntax of a budget before the graph is known. Raises BudgetError if no graph makes it valid."""
    if isinstance(text, int):
        _positive(text, text)
    elif (percent := _PERCENT.fullmatch(text)) is None:
        _positive(text, _parse_bytes(text))
    elif not Fraction(percent[1]):
        _positive(text, 0)


def _positive(text: str | int, nbytes: int) -> int:
    if nbytes <= 0:
        raise BudgetError(f"budget {text!r}: expected more than 0 bytes, for example 192KiB, 196608 or 80%")
    return nbytes


def _parse(text: str, graph: Graph) -> int:
    percent = _PERCENT.fullmatch(text)
    if percent is None:
        return _parse_bytes(text)
    share = Fraction(percent[1]) * peak_live(graph, given_order(graph)) / 100
    return -int(-share // 1)  # round up


def _parse_bytes(text: str) -> int:
    nbytes = parse_bytes(text)
    if nbytes is None:
        raise BudgetError(f"budget {text!r}: expected bytes or a percentage, for example 192KiB, 196608 or 80%")
    if nbytes.denominator != 1:
        raise BudgetError(f"budget {text!r}: is {float(nbytes)} bytes, expected a whole number of bytes")
    return int(nbytes)
