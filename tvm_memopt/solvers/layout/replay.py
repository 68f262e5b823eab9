"""Placement in time order: allocate at birth, free at death, as a run-time allocator would."""

from __future__ import annotations

from bisect import bisect_left, insort

from tvm_memopt.graph import Lifetimes
from tvm_memopt.solvers.layout.chains import best_pairs
from tvm_memopt.solvers.layout.gaps import lowest_fit

_Span = tuple[int, int, int]  # offset, end, buffer


def replay(lives: Lifetimes, alignment: int, inplace: bool = True) -> list[int]:
    """Offsets by first fit among what is live, an output over its dying input where it fits. O(buffers · live)."""
    source_of = best_pairs(lives) if inplace else {}
    offsets = [0] * len(lives.buffers)
    opening: list[list[int]] = [[] for _ in range(lives.steps)]
    for index, b in enumerate(lives.buffers):
        if b.nbytes:
            opening[b.first].append(index)
    closing: list[list[int]] = [[] for _ in range(lives.steps + 1)]
    live: list[_Span] = []
    for step, born in enumerate(opening):
        for index in closing[step]:
            span = (offsets[index], offsets[index] + lives.buffers[index].nbytes, index)
            del live[bisect_left(live, span)]
        born.sort(key=lambda index: (_turn(source_of.get(index), born), -lives.buffers[index].nbytes))
        for index in born:
            nbytes = lives.buffers[index].nbytes
            offset = _over_source(live, offsets, source_of.get(index), nbytes)
            if offset is None:
                offset = lowest_fit(((low - nbytes, end) for low, end, _ in live), alignment)
            offsets[index] = offset
            insort(live, (offset, offset + nbytes, index))
            closing[lives.buffers[index].last + 1].append(index)
    return offsets


def _turn(source: int | None, born: list[int]) -> int:
    """Outputs over older inputs come first, then plain buffers, then outputs over those."""
    return 1 if source is None else 2 if source in born else 0


def _over_source(live: list[_Span], offsets: list[int], source: int | None, nbytes: int) -> int | None:
    """The offset of ``source`` if ``nbytes`` fit there beside all others, else None."""
    if source is None:
        return None
    low, high = offsets[source], offsets[source] + nbytes
    clash = any(other < high and end > low and index != source for other, end, index in live)
    return None if clash else low
