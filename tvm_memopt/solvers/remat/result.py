"""The result of all rematerialisation solvers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

EVERY_SCHEDULE = "every schedule"  # a scope
Status = Literal["optimal", "feasible", "infeasible", "unknown"]


@dataclass(frozen=True)
class RematResult:
    """A schedule, possibly with repeats, with its total op cost and its peak live bytes.

    ``status``: "optimal" and "infeasible" are proved, over the schedules that ``scope`` names. "unknown": no schedule
    within the budget was found, and this is the one with the lowest peak.
    ``cost_bound``: lower bound on the cost of every schedule in the scope and within the budget.
    ``history``: (seconds, cost) of each improved schedule within the budget, in the order found.
    ``interrupted``: whether Ctrl-C ended the search.
    """

    schedule: tuple[int, ...]
    cost: float
    peak_nbytes: int
    status: Status
    cost_bound: float | None = None
    scope: str = EVERY_SCHEDULE
    history: tuple[tuple[float, float], ...] = ()
    stats: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False
