"""Placement of thousands of buffers: those live near the peak first, by exact search, the others greedily around them.

A long schedule is near its peak for a small part of the time. Every byte counts there; elsewhere there is slack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Lifetimes
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.layout.components import restrict
from tvm_memopt.solvers.layout.exact import Effort, fit_around, search
from tvm_memopt.solvers.layout.load import padded_load
from tvm_memopt.solvers.layout.sliding import RangeMaximum
from tvm_memopt.solvers.request import Deadline

_HEIGHTS = 0.97, 0.93, 0.85, 0.75  # fractions of the peak: buffers live at steps above this height are placed first
_MOST_FIRST = 3000  # buffers, in the exact search


@dataclass(frozen=True)
class PeakFirst:
    """Offset of each buffer, the arena, and the fraction of the peak above which buffers were placed first."""

    offsets: tuple[int, ...]
    arena_nbytes: int
    height: float


def place_peak_first(
    lives: Lifetimes, alignment: int, target: int, seconds: float, flag: np.ndarray, seed: int = 0
) -> PeakFirst | None:
    """Return the best placement over a few heights, or the first of at most ``target`` bytes.

    Returns None if no height ends in time. In-place pairs are placed apart. The search ends soon after ``flag[0]`` is
    set.
    """
    deadline = Deadline(seconds)
    free = Lifetimes(lives.buffers, (), lives.steps)
    best: PeakFirst | None = None
    for height, members in _first_members(free, alignment):
        if deadline.passed or flag[0] or (best is not None and best.arena_nbytes <= target):
            break
        part = restrict(free, members)
        effort = Effort(time_shares.NEAR_PEAK * deadline.remaining, seed, 1, flag)
        inner = search(part, alignment, effort, target=target)
        if inner.offsets is None:
            continue
        fixed = [-1] * len(lives.buffers)
        for index, offset in zip(members, inner.offsets, strict=True):
            fixed[index] = offset
        effort = Effort(time_shares.AROUND_PEAK * deadline.remaining, seed, 1, flag)
        found = fit_around(free, fixed, alignment, effort, target=target)
        if found.offsets is None or found.arena_nbytes is None:
            continue
        if best is None or found.arena_nbytes < best.arena_nbytes:
            best = PeakFirst(found.offsets, found.arena_nbytes, height)
    return best


def _first_members(lives: Lifetimes, alignment: int) -> Iterator[tuple[float, tuple[int, ...]]]:
    """For each height, the buffers live at a step above it, if there are more of them than at the height before."""
    load = padded_load(lives, alignment)
    most, highest = max(load, default=0), RangeMaximum(load)
    loads = [highest.over(b.first, b.last) for b in lives.buffers]
    before = 0
    for height in _HEIGHTS:
        members = tuple(i for i, b in enumerate(lives.buffers) if b.nbytes and loads[i] >= height * most)
        if before < len(members) <= _MOST_FIRST:
            before = len(members)
            yield height, members
