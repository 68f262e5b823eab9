"""Addresses for fixed lifetimes: greedy placement first, then exact search."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from tvm_memopt.graph import Lifetimes
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.layout.boosting import boosted_placement
from tvm_memopt.solvers.layout.components import restrict, time_components
from tvm_memopt.solvers.layout.greedy import Blocks, greedy_placements, make_blocks
from tvm_memopt.solvers.layout.load import load_bound
from tvm_memopt.solvers.layout.placement import Placement, arena_of
from tvm_memopt.solvers.layout.replay import replay
from tvm_memopt.solvers.request import Deadline

if TYPE_CHECKING:
    import numpy as np

    from tvm_memopt.solvers.layout.exact import LayoutOutcome

_FEW_BUFFERS = 300  # up to this many are placed before the native search is loaded
_MANY_BUFFERS = 1000  # from this many, buffers live at the peak are placed first: greedy orders alone leave gaps
_CLOSE = 1000  # under a budget, stop within a thousandth of the load
_MOST_EXACT_BUFFERS = 3000  # with more, building the model takes longer than a usual deadline


def place(
    lives: Lifetimes,
    alignment: int,
    deadline: Deadline,
    seed: int = 0,
    target: int | None = None,
    *,
    threads: int = 1,
    disabled: frozenset[str] = frozenset(),
) -> Placement:
    """Return the smallest arena found, or the first of at most ``target`` bytes."""
    found = place_greedily(lives, alignment, deadline, target, disabled=disabled)
    return refine(lives, found, alignment, deadline, seed, target=target, threads=threads, disabled=disabled)


def place_greedily(
    lives: Lifetimes,
    alignment: int,
    deadline: Deadline,
    target: int | None = None,
    *,
    disabled: frozenset[str] = frozenset(),
) -> Placement:
    """Return the best greedy placement, stopping at the load bound or at ``target``. Always returns a placement."""
    bound = load_bound(lives, alignment)
    best: Placement | None = None
    many = len(lives.buffers) > _FEW_BUFFERS and "native" not in disabled
    if many and len(lives.buffers) > _MANY_BUFFERS and "peak-first" not in disabled:
        best = _peak_first(
            lives, alignment, deadline.within(time_shares.PEAK_FIRST * deadline.remaining), bound, target
        )
    if best is not None and _enough(best, target):
        return best
    attempts = _native_attempts if many else _attempts
    for method, offsets in attempts(lives, alignment, deadline, disabled):
        arena = arena_of(lives, offsets)
        if best is None or arena < best.arena_nbytes:
            best = Placement(tuple(offsets), arena, bound, method)
        if _enough(best, target):
            break
    assert best is not None  # the first attempt always finishes
    return best


def _peak_first(
    lives: Lifetimes, alignment: int, deadline: Deadline, bound: int, target: int | None
) -> Placement | None:
    from tvm_memopt.solvers.layout.peak_first import PeakFirst, place_peak_first
    from tvm_memopt.solvers.native import call_interruptibly

    def call(flag: np.ndarray) -> PeakFirst | None:
        near = bound if target is None else min(target, bound + bound // _CLOSE)
        return place_peak_first(lives, alignment, max(bound, near), deadline.remaining, flag)

    found, interrupted = call_interruptibly(call)
    if interrupted:
        signal.raise_signal(signal.SIGINT)  # for the caller; the first plan is still placed completely
    return Placement(found.offsets, found.arena_nbytes, bound, "peak first") if found else None


def refine(
    lives: Lifetimes,
    placement: Placement,
    alignment: int,
    deadline: Deadline,
    seed: int = 0,
    *,
    target: int | None = None,
    threads: int = 1,
    disabled: frozenset[str] = frozenset(),
) -> Placement:
    """Improve ``placement`` or prove it optimal by the native search; if a gap is left, by boosting and CP-SAT."""
    effort = _Effort(alignment, deadline, seed, threads)
    goal = max(placement.lower_bound_nbytes, target or 0)
    if "native" not in disabled and placement.arena_nbytes > goal:
        placement = _search_natively(lives, placement, effort, target or 0, disabled)
    if _enough(placement, target) or deadline.passed or placement.interrupted:
        return placement
    if "boosting" not in disabled and placement.arena_nbytes > goal:
        placement = _boost(lives, placement, goal, effort, "inplace" not in disabled)
    if "cp-sat" in disabled or _enough(placement, target):
        return placement
    free = lives.apart() if "inplace" in disabled else lives
    everything = tuple(i for i, b in enumerate(lives.buffers) if b.nbytes)
    parts = [everything] if "decompose" in disabled else time_components(lives)
    offsets = list(placement.offsets)
    proved = placement.lower_bound_nbytes
    for part in sorted(parts, key=lambda part: -max(offsets[i] + lives.buffers[i].nbytes for i in part)):
        height, bound = _refine_part(restrict(free, part), part, offsets, goal, effort)
        proved = max(proved, bound)
        goal = max(goal, height)  # the tallest part so far: squeezing other parts below it gains nothing
    if "inplace" in disabled:
        proved = placement.lower_bound_nbytes
    arena = arena_of(lives, offsets)
    method = "CP-SAT" if arena < placement.arena_nbytes else placement.method
    return Placement(tuple(offsets), arena, min(proved, arena), method)


def _search_natively(
    lives: Lifetimes, placement: Placement, effort: _Effort, target: int, disabled: frozenset[str]
) -> Placement:
    """Improve ``placement`` or prove it optimal by the exact search in C++."""
    from tvm_memopt.solvers import native
    from tvm_memopt.solvers.layout.exact import Effort, search

    apart = "inplace" in disabled
    free = lives.apart() if apart else lives
    seconds = effort.deadline.remaining * time_shares.EXACT_LAYOUT

    def call(flag: np.ndarray) -> LayoutOutcome:
        spend = Effort(seconds, effort.seed, 1, flag, disabled)  # one thread: the plan depends only on the seed
        return search(free, effort.alignment, spend, target=max(target, placement.lower_bound_nbytes))

    found, interrupted = native.call_interruptibly(call)
    bound = placement.lower_bound_nbytes if apart else max(placement.lower_bound_nbytes, found.bound_nbytes)
    if found.offsets is None or found.arena_nbytes is None or found.arena_nbytes >= placement.arena_nbytes:
        return replace(placement, lower_bound_nbytes=min(bound, placement.arena_nbytes), interrupted=interrupted)
    least = min(bound, found.arena_nbytes)
    return Placement(found.offsets, found.arena_nbytes, least, "exact search", interrupted)


@dataclass(frozen=True)
class _Effort:
    """Limits of a refinement, and the alignment to keep."""

    alignment: int
    deadline: Deadline
    seed: int
    threads: int


def _refine_part(
    lives: Lifetimes, members: tuple[int, ...], offsets: list[int], goal: int, effort: _Effort
) -> tuple[int, int]:
    """Return (height, proved bound) of one part; better offsets are written into ``offsets``.

    It first asks whether the part fits in the goal. Without an objective this is often much faster.
    """
    from tvm_memopt.solvers.layout.cp_sat import place_below

    hint = [offsets[i] for i in members]
    height = arena_of(lives, hint)
    if height <= goal or len(members) > _MOST_EXACT_BUFFERS or effort.deadline.passed:
        return height, 0
    ask = partial(place_below, lives, effort.alignment, hint=hint, seed=effort.seed, threads=effort.threads)
    share = effort.deadline.within(effort.deadline.remaining / 3)
    found, word = ask(goal, goal, deadline=share, minimise=False)
    if found is None:
        found, word = ask(goal + (word == "none"), height - 1, deadline=effort.deadline)
    if found is not None:
        for index, offset in zip(members, found, strict=True):
            offsets[index] = offset
        height = arena_of(lives, found)
    return height, height if word != "unknown" and height > goal else 0


def _boost(lives: Lifetimes, placement: Placement, goal: int, effort: _Effort, inplace: bool) -> Placement:
    share = effort.deadline.within(effort.deadline.remaining / 3)
    blocks = make_blocks(lives, effort.alignment, inplace, share)
    found = boosted_placement(blocks, effort.alignment, goal, share, effort.seed) if blocks else None
    if blocks is None or found is None or found[0] >= placement.arena_nbytes:
        return placement
    offsets = _spread(lives, blocks, found[1])
    return Placement(tuple(offsets), found[0], placement.lower_bound_nbytes, "boosted first fit")


def _native_attempts(
    lives: Lifetimes, alignment: int, deadline: Deadline, disabled: frozenset[str]
) -> Iterator[tuple[str, Sequence[int]]]:
    """Greedy placement in C++, for many buffers."""
    from tvm_memopt.solvers.layout.exact import Effort, greedy

    for shared in (True, False) if "inplace" not in disabled and lives.shares else (False,):
        found = greedy(lives, alignment, Effort(deadline.remaining, disabled=disabled), inplace=shared)
        assert found.offsets is not None
        yield "greedy" + (", in-place pairs apart" if lives.shares and not shared else ""), found.offsets


def _attempts(
    lives: Lifetimes, alignment: int, deadline: Deadline, disabled: frozenset[str]
) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield (method, offsets), fastest first. Pairs are tried both sharing and, as sharing ties buffers, apart."""
    inplace = "inplace" not in disabled
    yield "replay in time order", replay(lives, alignment, inplace)
    for shared in (True, False) if inplace and lives.shares else (False,):
        blocks = make_blocks(lives, alignment, shared, deadline)
        if blocks is None:
            return
        label = ", in-place pairs apart" if lives.shares and not shared else ""
        for method, found in greedy_placements(blocks, alignment, deadline, "best-fit" not in disabled):
            yield method + label, _spread(lives, blocks, found)


def _spread(lives: Lifetimes, blocks: Blocks, found: Sequence[int]) -> list[int]:
    offsets = [0] * len(lives.buffers)
    for block, offset in zip(blocks.blocks, found, strict=True):
        for index in block.buffers:
            offsets[index] = offset
    return offsets


def _enough(placement: Placement, target: int | None) -> bool:
    return placement.proved or (target is not None and placement.arena_nbytes <= target)
