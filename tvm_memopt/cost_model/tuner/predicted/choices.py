"""What a search finds for a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A schedule. ``seconds``: predicted; ``scratch_nbytes``: of the lowered kernel; ``trace``: of MetaSchedule, as
    JSON, or None for the kernel as it is."""

    seconds: float
    scratch_nbytes: int
    trace: Any


@dataclass(frozen=True)
class Found:
    """``unscheduled``: the kernel as it is. ``choices``: faster ones, the fastest first; each later one needs less
    scratch."""

    unscheduled: Choice
    choices: tuple[Choice, ...]

    def best(self) -> Choice:
        """The fastest, by prediction."""
        return self.choices[0] if self.choices else self.unscheduled

    def merged(self, other: Found) -> Found:
        """The choices of both that no other beats in both time and scratch."""
        kept: list[Choice] = []
        for choice in sorted((*self.choices, *other.choices), key=lambda one: (one.seconds, one.scratch_nbytes)):
            if not kept or choice.scratch_nbytes < kept[-1].scratch_nbytes:
                kept.append(choice)
        return Found(self.unscheduled, tuple(kept))
