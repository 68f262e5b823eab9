"""What is asked of a solver, and the clock that it obeys."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from tvm_memopt.errors import BudgetError


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of news from a running search: seconds since its start and the best plan's figures."""

    seconds: float
    stage: str
    arena_nbytes: int | None
    lower_bound_nbytes: int | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is wanted of a plan and what may be spent on it.

    ``budget_nbytes``: largest arena, or None for the smallest that is found. ``time_limit``: wall-clock
    seconds, set-up included. ``method``: one of ``tvm_memopt.solvers.METHODS``. ``disabled``: names of search switches
    to turn off, for ablation; those of the portfolio are in ``tvm_memopt.solvers.SWITCHES``.
    ``start_schedules``: schedules, repeats allowed, of earlier plans to start from.
    ``progress`` is called now and then from the solving thread.
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
    """A wall-clock deadline, made once at entry and passed down."""

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
        """Whether the time is up."""
        return time.monotonic() >= self.ends

    def within(self, seconds: float) -> Deadline:
        """A deadline of ``seconds`` from now that does not outlast this one."""
        return Deadline(min(seconds, self.remaining))
