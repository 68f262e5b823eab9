"""Exact placement in C++: does everything fit below a capacity, and how small can the arena be?

Buffers are vectors: ``first`` and ``last`` step (inclusive), ``nbytes``, and pairs (dying input, output)
that may share one offset in the step where they meet. A search sees each chain of pairs as one item, so
proofs hold for the chosen chains; ``proved`` is said only where it holds for every choice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.errors import BudgetError
from tvm_memopt.graph import Buffer, Lifetimes
from tvm_memopt.solvers import native
from tvm_memopt.solvers.layout.chains import sharing_chains
from tvm_memopt.solvers.layout.load import load_bound

SWITCHES: Mapping[str, str] = {
    "inference": "Raise each section's floor to the lowest offset that any of its buffers can still take.",
    "support": "Place a buffer only on top of another or on the ground: others can be pushed down.",
    "decompose": "Search stretches of time apart once no unplaced buffer crosses between them.",
    "memory": "Remember failed states and do not search one twice.",
    "fail-first": "Branch on the section with the fewest buffers that can lie on its floor.",
    "tightness": "Among those, prefer the section with the fewest bytes to waste.",
    "twins": "Of unplaced buffers with equal life and size, try only one.",
    "levels": "A section left empty is raised to the next top that can be reached, not by one unit.",
    "restarts": "Stop after a number of nodes and start again with another order of choice.",
    "ladder": "Ask for the bound, the middle and just below the incumbent in turns.",
    "greedy": "Begin with the best of the greedy placements.",
}
"""Name -> what it does, in the order of the bits in native/layout_switches.h; all on by default."""

MOST_NBYTES = 2**61  # sizes and their sum per step stay below: the native search counts in int64
_MEMORY_NBYTES = 1 << 30
_FOREVER = 1e9  # seconds


@dataclass(frozen=True)
class Found:
    """``offsets`` beside the buffers, None where nothing was found; no arena below ``bound`` is possible.

    ``proved``: fit found a placement or proved that there is none; minimise proved the arena least.
    """

    offsets: tuple[int, ...] | None
    arena_nbytes: int | None
    bound_nbytes: int
    proved: bool
    nodes: int


def fit(
    first: Sequence[int],
    last: Sequence[int],
    nbytes: Sequence[int],
    capacity: int,
    *,
    alignment: int = 1,
    inplace: Sequence[tuple[int, int]] = (),
    seconds: float = _FOREVER,
    seed: int = 0,
    threads: int = 1,
    flag: np.ndarray | None = None,
    disabled: Collection[str] = (),
) -> Found:
    """A placement in at most ``capacity`` bytes, or the proof that there is none, or neither in the time.

    ``flag`` is an int32 vector: the search returns soon after its first element is set. Raises BudgetError
    for sizes and lives that make no sense.
    """
    lives = _lifetimes(first, last, nbytes, inplace)
    bound = load_bound(lives, alignment)
    if bound > capacity:
        return Found(None, None, bound, True, 0)
    found = _search(lives, alignment, capacity, bound, seconds, seed, threads, flag, disabled)
    holds = found.bound_nbytes if _chains_are_certain(lives) else bound
    return Found(found.offsets, found.arena_nbytes, holds, found.offsets is not None or holds > capacity, found.nodes)


def minimise(
    first: Sequence[int],
    last: Sequence[int],
    nbytes: Sequence[int],
    *,
    alignment: int = 1,
    inplace: Sequence[tuple[int, int]] = (),
    target: int = 0,
    seconds: float = _FOREVER,
    seed: int = 0,
    threads: int = 1,
    flag: np.ndarray | None = None,
    disabled: Collection[str] = (),
) -> Found:
    """The smallest arena that is found, or the first of at most ``target`` bytes; as fit otherwise."""
    lives = _lifetimes(first, last, nbytes, inplace)
    bound = load_bound(lives, alignment)
    found = _search(lives, alignment, -1, max(bound, target), seconds, seed, threads, flag, disabled)
    holds = max(bound, found.bound_nbytes if _chains_are_certain(lives) else 0)
    return Found(found.offsets, found.arena_nbytes, holds, found.arena_nbytes == holds, found.nodes)


def greedy(
    first: Sequence[int],
    last: Sequence[int],
    nbytes: Sequence[int],
    *,
    alignment: int = 1,
    inplace: Sequence[tuple[int, int]] = (),
    seconds: float = _FOREVER,
    flag: np.ndarray | None = None,
) -> Found:
    """The best of the greedy rules, O(n log n) for the quickest of them; always has an answer."""
    lives = _lifetimes(first, last, nbytes, inplace)
    offsets, report = np.zeros(len(first), np.int64), np.zeros(3, np.int64)
    vectors = _vectors(lives)
    native.library().layout_greedy(*vectors, alignment, seconds, _flag(flag), offsets, report)
    arena, bound = int(report[0]), load_bound(lives, alignment)
    return Found(tuple(offsets.tolist()), arena, bound, arena == bound, 0)


def switch_bits(disabled: Collection[str]) -> int:
    """Bits of the switches in ``disabled``; names of other parts of the search are passed over."""
    return sum(1 << bit for bit, name in enumerate(SWITCHES) if name in disabled)


def _search(
    lives: Lifetimes,
    alignment: int,
    capacity: int,
    target: int,
    seconds: float,
    seed: int,
    threads: int,
    flag: np.ndarray | None,
    disabled: Collection[str],
) -> Found:
    bits = switch_bits(disabled)
    options = np.array([alignment, capacity, target, seed, threads, bits, _MEMORY_NBYTES], np.int64)
    offsets, report = np.zeros(len(lives.buffers), np.int64), np.zeros(4, np.int64)
    native.library().layout_search(*_vectors(lives), options, seconds, _flag(flag), offsets, report)
    found, arena, bound, nodes = report.tolist()
    return Found(tuple(offsets.tolist()) if found else None, arena if found else None, bound, False, nodes)


def _lifetimes(
    first: Sequence[int], last: Sequence[int], nbytes: Sequence[int], inplace: Sequence[tuple[int, int]]
) -> Lifetimes:
    """The buffers over their distinct moments: time may be counted in any unit."""
    for index, (begin, end, size) in enumerate(zip(first, last, nbytes, strict=True)):
        if end < begin:
            raise BudgetError(f"buffer {index}: lives from {begin} to {end}, expected last >= first")
        if not 0 <= size:
            raise BudgetError(f"buffer {index}: has {size} bytes, expected 0 or more")
    if sum(nbytes) >= MOST_NBYTES:
        raise BudgetError(f"the buffers have {sum(nbytes)} bytes in all, expected less than {MOST_NBYTES}")
    moments = sorted({*first, *last})
    step = {moment: index for index, moment in enumerate(moments)}
    buffers = tuple(
        Buffer(index, step[begin], step[end], size)
        for index, (begin, end, size) in enumerate(zip(first, last, nbytes, strict=True))
    )
    for source, target in inplace:
        if last[source] != first[target]:
            raise BudgetError(f"in-place pair ({source}, {target}): the input must die where the output begins")
    return Lifetimes(buffers, tuple(inplace), len(moments))


def _vectors(lives: Lifetimes) -> tuple[np.ndarray, ...]:
    chain = np.arange(len(lives.buffers), dtype=np.int64)
    for members in sharing_chains(lives):
        chain[list(members)] = members[0]
    first = native.vector([b.first for b in lives.buffers])
    last = native.vector([b.last for b in lives.buffers])
    return first, last, native.vector([b.nbytes for b in lives.buffers]), chain


def _chains_are_certain(lives: Lifetimes) -> bool:
    """Whether a proof for the chosen chains holds for all: there is nothing to choose."""
    return not lives.inplace


def _flag(flag: np.ndarray | None) -> np.ndarray:
    return np.zeros(1, np.int32) if flag is None else flag
