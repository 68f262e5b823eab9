"""The request to a solver, and its deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from tvm_memopt.errors import BudgetError


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a running search: seconds since its start, and figures of the best plan so far."""

    seconds: float
    stage: str
    arena_nbytes: int | None
    lower_bound_nbytes: int | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What plan is requested, and the limits on the search.

    ``budget_nbytes``: the largest allowed arena; None to minimise the arena.
    ``time_limit``: wall-clock seconds, including set-up.
    ``seed``, ``threads``: of the search.
    ``start_schedules``: schedules of earlier plans to start from; they may repeat ops.
    ``disabled``: names of search switches to turn off, for ablation. ``tvm_memopt.solvers.SWITCHES`` lists those of the
    portfolio.
    ``method``: one of ``tvm_memopt.solvers.METHODS``.
    ``progress``: called from time to time, from the solving thread.

    Raises BudgetError if a limit is not positive.
    """

    budget_nbytes: int | None = None
    time_limit: float = 10.0
    seed: int = 0
    start_schedules: tuple[tuple[int, ...], ...] = ()
    threads: int = os.cpu_count() or 1
    disabled: frozenset[str] = frozenset()
    method: str = "portfolio"
    progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        if not self.time_limit > 0:
            raise BudgetError(f"time limit is {self.time_limit} s, expected more than 0")
        if self.threads < 1:
            raise BudgetError(f"thread count is {self.threads}, expected at least 1")
        if self.budget_nbytes is not None and self.budget_nbytes < 1:
            raise BudgetError(f"budget is {self.budget_nbytes} bytes, expected more than 0")


class Deadline:
    """A wall-clock deadline, created once at entry and passed down."""

    def __init__(self, seconds: float) -> None:
        self.started = time.monotonic()
        self.ends = self.started + seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.ends - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether time has run out."""
        return time.monotonic() >= self.ends

    def within(self, seconds: float) -> Deadline:
        """A deadline ``seconds`` from now, but no later than this one."""
        return Deadline(min(seconds, self.remaining))
