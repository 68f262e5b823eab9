"""The errors that tvm-memopt raises deliberately.

Each message is one line: what was found, where, what was expected and what to do. The command line prints that line
without a traceback and maps the class to an exit status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MemoptError(Exception):
    """Base class of all errors of this package."""

    exit_status = 2


class GraphError(MemoptError):
    """A graph or its file violates ``memopt-graph/1``."""


class FrontendError(MemoptError):
    """A model could not be read or imported."""


class BudgetError(MemoptError):
    """A memory budget is malformed or cannot be met."""


class InfeasibleBudgetError(BudgetError):
    """No plan fits the budget, as a lower bound proves."""

    exit_status = 3


class NoPlanError(BudgetError):
    """No plan within the budget was found in the time limit. Nothing is proved."""

    exit_status = 4


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a plan violates.

    ``rule``: a short stable name (``"overlap"``, ``"missing-op"``, ...). ``step`` and ``op``: the location, or None for
    the whole plan. ``nbytes``: the quantity involved. ``text``: a readable description.
    """

    rule: str
    text: str
    step: int | None = None
    op: int | None = None
    nbytes: int | None = None

    def __str__(self) -> str:
        where = [f"step {self.step}"] if self.step is not None else []
        where += [f"op {self.op}"] if self.op is not None else []
        return f"[{self.rule}] {', '.join(where)}{': ' if where else ''}{self.text}"


class PlanError(MemoptError):
    """A plan or its file violates ``memopt-plan/1``.

    ``violations``: all violations. Empty if the file itself is unreadable.
    """

    def __init__(self, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.violations = tuple(violations)
