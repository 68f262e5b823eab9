"""Placement in time order: allocate at birth and free at death, like a run-time allocator."""

from __future__ import annotations

from tvm_memopt.graph import Lifetimes, align_up
from tvm_memopt.solvers.layout.chains import best_pairs
from tvm_memopt.solvers.layout.free_list import FreeList


def replay(lives: Lifetimes, alignment: int, inplace: bool = True) -> list[int]:
    """Offsets by first fit. An output replaces its dying input if there is room. O(buffers · free ranges)."""
    source_of = best_pairs(lives) if inplace else {}
    sizes = [align_up(b.nbytes, alignment) for b in lives.buffers]
    offsets = [0] * len(sizes)
    handed = [0] * len(sizes)  # bytes of each buffer that its in-place output takes over
    free = FreeList()
    opening: list[list[int]] = [[] for _ in range(lives.steps)]
    closing: list[list[int]] = [[] for _ in range(lives.steps + 1)]
    for index, b in enumerate(lives.buffers):
        if b.nbytes:
            opening[b.first].append(index)
            closing[b.last + 1].append(index)
    for step, born in enumerate(opening):
        for index in closing[step]:
            free.give_back(offsets[index] + handed[index], offsets[index] + sizes[index])
        for index in sorted(born, key=lambda index: (_turn(source_of.get(index), born), -sizes[index])):
            source = source_of.get(index)
            if source is not None and _take_over(free, offsets[source] + sizes[source], sizes[index] - sizes[source]):
                offsets[index] = offsets[source]
                handed[source] = min(sizes[index], sizes[source])
            else:
                offsets[index] = free.take_lowest(sizes[index])
    return offsets


def _turn(source: int | None, born: list[int]) -> int:
    """Rank of a new buffer: outputs over older inputs first, then plain buffers, then outputs over new inputs."""
    return 1 if source is None else 2 if source in born else 0


def _take_over(free: FreeList, end: int, more: int) -> bool:
    """Whether an output that needs ``more`` bytes than its input, which ends at ``end``, can replace it."""
    return more <= 0 or free.take_at(end, more)
