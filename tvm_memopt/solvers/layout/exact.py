"""Exact placement in C++: whether all buffers fit in a capacity, and how small the arena can be.

Buffers are given as vectors: ``first`` and ``last`` step (inclusive), ``nbytes``, and pairs (dying input, output)
that may share one offset in the step where they overlap. The native search takes the choice of pairs as given, as
chains. This module tries the choices in turn and reports a proof only if none was left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.errors import BudgetError
from tvm_memopt.graph import Buffer, Lifetimes
from tvm_memopt.solvers import native
from tvm_memopt.solvers.layout.chains import best_pairs
from tvm_memopt.solvers.layout.exact_switches import LAYOUT_SWITCHES
from tvm_memopt.solvers.layout.load import load_bound
from tvm_memopt.solvers.request import Deadline

MOST_NBYTES = 2**61  # limit on sizes and on their sum at each step: the native search uses int64
_MEMORY_NBYTES = 1 << 30  # for the memory of failed states
_MOST_CHOICES = 32  # of sharing pairs; with more, only the heaviest choice and no sharing are searched


@dataclass(frozen=True)
class LayoutOutcome:
    """Result of a placement search.

    ``offsets``: in bytes, one per buffer; None if nothing was found.
    ``bound_nbytes``: a proved lower bound on the arena.
    ``proved``: from fit, that a placement was found or that none exists; from minimise, that the arena is optimal.
    """

    offsets: tuple[int, ...] | None
    arena_nbytes: int | None
    bound_nbytes: int
    proved: bool
    nodes: int = 0


@dataclass(frozen=True)
class Effort:
    """Limits of a search. It ends soon after ``flag[0]``, an int32, is set.

    ``seconds``: time limit. ``disabled``: names from LAYOUT_SWITCHES.
    """

    seconds: float = 1e9
    seed: int = 0
    threads: int = 1
    flag: np.ndarray | None = None
    disabled: Collection[str] = ()


def fit(
    first: Sequence[int],
    last: Sequence[int],
    nbytes: Sequence[int],
    capacity: int,
    *,
    alignment: int = 1,
    inplace: Sequence[tuple[int, int]] = (),
    effort: Effort = Effort(),
) -> LayoutOutcome:
    """Find a placement in at most ``capacity`` bytes, or prove that there is none, within the time limit.

    Raises BudgetError for invalid sizes or lifetimes.
    """
    lives = make_lifetimes(first, last, nbytes, inplace)
    return search(lives, alignment, effort, capacity=capacity)


def minimise(
    first: Sequence[int],
    last: Sequence[int],
    nbytes: Sequence[int],
    *,
    alignment: int = 1,
    inplace: Sequence[tuple[int, int]] = (),
    target: int = 0,
    effort: Effort = Effort(),
) -> LayoutOutcome:
    """Find the smallest arena, or the first of at most ``target`` bytes. Always returns a placement."""
    return search(make_lifetimes(first, last, nbytes, inplace), alignment, effort, target=target)


def search(
    lives: Lifetimes, alignment: int, effort: Effort, *, capacity: int | None = None, target: int = 0
) -> LayoutOutcome:
    """``fit`` in ``capacity`` bytes if it is given, else ``minimise``, for the lifetimes of a schedule."""
    bound = load_bound(lives, alignment)
    if capacity is not None and bound > capacity:
        return LayoutOutcome(None, None, bound, True)
    goal = max(bound, target if capacity is None else capacity)
    choices, complete = _choices_of_pairs(lives)
    complete = complete and not lives.overlaps  # the native search does not let buffers overlap at a distance
    deadline, nodes, least = Deadline(effort.seconds), 0, 2**62
    offsets, arena = None, 2**62
    for rank, pairs in enumerate(choices):
        share = deadline.remaining / (len(choices) - rank)
        found = _search_chains(lives, pairs, alignment, effort, share, -1 if capacity is None else capacity, goal)
        nodes, least = nodes + found.nodes, min(least, found.bound_nbytes)
        if found.arena_nbytes is not None and found.arena_nbytes < arena:
            offsets, arena = found.offsets, found.arena_nbytes
        if arena <= goal:
            break
    proved_bound = min(max(bound, least) if complete else bound, arena)
    if offsets is None:
        return LayoutOutcome(None, None, proved_bound, capacity is not None and proved_bound > capacity, nodes)
    return LayoutOutcome(offsets, arena, proved_bound, capacity is not None or arena == proved_bound, nodes)


def greedy(lives: Lifetimes, alignment: int, effort: Effort = Effort(), *, inplace: bool = True) -> LayoutOutcome:
    """Return the best of the greedy placements, the fastest of which is O(n log n). Always returns a placement.

    ``inplace``: whether the pairs that save the most bytes share an offset, and others overlap at a distance.
    """
    offsets, report = np.zeros(len(lives.buffers), np.int64), np.zeros(3, np.int64)
    source_of = best_pairs(lives) if inplace else {}
    # The native code takes a gap between the last buffer of one chain and the first of another.
    ends = [o for o in lives.overlaps if inplace and o.target not in source_of and o.source not in source_of.values()]
    gaps = native.vector([x for o in ends for x in (o.source, o.target, o.distance)])
    native.library().layout_greedy(
        *_vectors(lives, source_of), gaps, alignment, effort.seconds, _flag(effort), offsets, report
    )
    arena, bound = int(report[0]), load_bound(lives, alignment)
    return LayoutOutcome(tuple(offsets.tolist()), arena, bound, arena == bound)


def fit_around(
    lives: Lifetimes, fixed: Sequence[int], alignment: int, effort: Effort = Effort(), *, target: int = 0
) -> LayoutOutcome:
    """Return the best greedy placement around buffers at fixed offsets, without in-place sharing.

    ``fixed``: an offset in bytes per buffer; negative if it is not fixed.
    ``target``: stop at an arena of this many bytes or less.

    Nothing is found if time runs out before the first rule ends, or if a fixed offset is not a multiple of the common
    divisor of the padded sizes.
    """
    moved, report = native.vector(fixed), np.zeros(2, np.int64)
    options = native.vector([alignment, target])
    native.library().layout_around(*_vectors(lives, {}), options, effort.seconds, _flag(effort), moved, report)
    found, arena = report.tolist()
    bound = load_bound(lives, alignment)
    return LayoutOutcome(
        tuple(moved.tolist()) if found else None, arena if found else None, bound, found and arena == bound
    )


def switch_bits(disabled: Collection[str]) -> int:
    """Bit mask of the switches in ``disabled``. Names that belong to other parts of the search are ignored."""
    return sum(1 << bit for bit, name in enumerate(LAYOUT_SWITCHES) if name in disabled)


def make_lifetimes(
    first: Sequence[int], last: Sequence[int], nbytes: Sequence[int], inplace: Sequence[tuple[int, int]] = ()
) -> Lifetimes:
    """Lifetimes over the distinct times of the buffers; time can be in any unit. Raises BudgetError if invalid."""
    for index, (begin, end, size) in enumerate(zip(first, last, nbytes, strict=True)):
        if end < begin:
            raise BudgetError(f"buffer {index}: lives from {begin} to {end}, expected last >= first")
        if size < 0:
            raise BudgetError(f"buffer {index}: has {size} bytes, expected 0 or more")
    if sum(nbytes) >= MOST_NBYTES:
        raise BudgetError(f"the buffers have {sum(nbytes)} bytes in all, expected less than {MOST_NBYTES}")
    for source, target in inplace:
        if not first[source] < last[source] == first[target]:
            raise BudgetError(f"in-place pair ({source}, {target}): the input must die where the output begins")
    moments = sorted({*first, *last})
    step = {moment: index for index, moment in enumerate(moments)}
    lives = zip(first, last, nbytes, strict=True)
    buffers = tuple(Buffer(i, step[begin], step[end], size) for i, (begin, end, size) in enumerate(lives))
    return Lifetimes(buffers, tuple(inplace), len(moments))


def _choices_of_pairs(lives: Lifetimes) -> tuple[list[dict[int, int]], bool]:
    """Choices of sharing pairs, as output -> input: the heaviest, none, then all others if they are few.

    Also returns whether the list is complete. In a valid placement each input and each output shares at most once.
    """
    sharing = [(s, t) for s, t in lives.inplace if lives.buffers[s].nbytes and lives.buffers[t].nbytes]
    choices: list[dict[int, int]] = [{}]
    for source, target in sharing:
        choices += [{**c, target: source} for c in choices if target not in c and source not in c.values()]
        if len(choices) > _MOST_CHOICES:
            break
    heaviest = best_pairs(lives)
    if len(choices) > _MOST_CHOICES:
        return [heaviest, {}], False
    return sorted(choices, key=lambda c: (c != heaviest, len(c))), True


def _search_chains(
    lives: Lifetimes,
    source_of: Mapping[int, int],
    alignment: int,
    effort: Effort,
    seconds: float,
    capacity: int,
    goal: int,
) -> LayoutOutcome:
    bits = switch_bits(effort.disabled)
    options = np.array([alignment, capacity, goal, effort.seed, effort.threads, bits, _MEMORY_NBYTES], np.int64)
    offsets, report = np.zeros(len(lives.buffers), np.int64), np.zeros(4, np.int64)
    native.library().layout_search(*_vectors(lives, source_of), options, seconds, _flag(effort), offsets, report)
    found, arena, bound, nodes = report.tolist()
    return LayoutOutcome(tuple(offsets.tolist()) if found else None, arena if found else None, bound, False, nodes)


def _vectors(lives: Lifetimes, source_of: Mapping[int, int]) -> tuple[np.ndarray, ...]:
    """first, last, nbytes, and a chain number that is equal for the members of one chain."""
    chain = np.arange(len(lives.buffers), dtype=np.int64)
    for target in sorted(source_of, key=lambda t: lives.buffers[t].first):
        chain[target] = chain[source_of[target]]
    first = native.vector([b.first for b in lives.buffers])
    last = native.vector([b.last for b in lives.buffers])
    return first, last, native.vector([b.nbytes for b in lives.buffers]), chain


def _flag(effort: Effort) -> np.ndarray:
    return np.zeros(1, np.int32) if effort.flag is None else effort.flag
