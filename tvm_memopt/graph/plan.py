"""The memory plan: a schedule, an offset for every buffer, and the proved bounds (``memopt-plan/1``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PlanStatus = Literal["optimal", "feasible", "infeasible", "unknown"]
PLAN_STATUSES: tuple[PlanStatus, ...] = ("optimal", "feasible", "infeasible", "unknown")


@dataclass(frozen=True, slots=True)
class Allocation:
    """One buffer instance: ``nbytes`` bytes at ``offset``, live from step ``first`` to ``last`` inclusive.

    ``tensor`` is None for the workspace of the op at ``first``.
    """

    tensor: int | None
    first: int
    last: int
    offset: int
    nbytes: int

    @property
    def end(self) -> int:
        """Offset just past the last byte."""
        return self.offset + self.nbytes


@dataclass(frozen=True)
class Plan:
    """Order, rematerialisation and placement for one graph. The fields are those of ``memopt-plan/1``.

    ``notes``: remarks for the user on what the plan does not cover.
    """

    graph: str
    schedule: tuple[int, ...]
    allocations: tuple[Allocation, ...]
    alignment: int
    arena_nbytes: int
    peak_live_nbytes: int
    cost: float
    base_cost: float
    status: PlanStatus
    lower_bound_nbytes: int | None = None
    cost_bound: float | None = None
    budget_nbytes: int | None = None
    solver: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def gap_nbytes(self) -> int | None:
        """Bytes between the arena size and its proved lower bound; None without a bound."""
        return None if self.lower_bound_nbytes is None else self.arena_nbytes - self.lower_bound_nbytes
