"""The family of errors that tvm-memopt raises on purpose.

Each message is one line: what was found, where, what was expected and what to do. The command line
prints that line and no traceback, and maps the class to its exit status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MemoptError(Exception):
    """Base of all errors of this package."""

    exit_status = 2


class GraphError(MemoptError):
    """A graph, or the file it comes from, breaks a rule of ``memopt-graph/1``."""


class FrontendError(MemoptError):
    """A model could not be read or imported."""


class BudgetError(MemoptError):
    """A memory budget is malformed, or was proved to be out of reach."""


class InfeasibleBudgetError(BudgetError):
    """No plan fits the budget: proved by a lower bound."""

    exit_status = 3


class NoPlanError(BudgetError):
    """No plan within the budget was found in the time limit; nothing is proved."""

    exit_status = 4


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of a plan.

    ``rule`` is a short stable name (``"overlap"``, ``"missing-op"``, ...); ``step`` and ``op`` say
    where (None for the whole plan); ``nbytes`` is the quantity involved; ``text`` is for people.
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
    """A plan, or the file it comes from, breaks a rule of ``memopt-plan/1``.

    ``violations`` lists every broken rule; it is empty when the file itself is unreadable.
    """

    def __init__(self, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.violations = tuple(violations)
