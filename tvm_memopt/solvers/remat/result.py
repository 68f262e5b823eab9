"""What every rematerialisation solver answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

EVERY_SCHEDULE = "every schedule"  # a scope
Status = Literal["optimal", "feasible", "infeasible", "unknown"]


@dataclass(frozen=True)
class RematResult:
    """A schedule, repeats allowed, with its summed op cost and its peak live bytes.

    ``status``: "optimal" and "infeasible" are said only with a proof, over the schedules that ``scope`` names;
    "unknown": no schedule within the budget was found, and this is the one of least peak. ``cost_bound``: no
    schedule of that scope within the budget costs less. ``history``: (seconds, cost) of each better schedule
    within the budget, as they were found. ``interrupted``: Ctrl-C ended the search.
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
