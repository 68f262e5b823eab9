"""Reference implementation of the native placement search in plain Python, for tests.

It branches as native/layout/search.h does. In the leftmost of the lowest valleys, the first section either begins with
a buffer on the valley's floor, or stays empty up to the next offset.
"""

from __future__ import annotations

from functools import cache

from tvm_memopt.graph import Lifetimes, align_up
from tvm_memopt.graph.liveness import profile_of


def least_arena_by_valleys(lives: Lifetimes, alignment: int) -> int:
    """The smallest arena without in-place sharing. Exponential time; for a handful of buffers."""
    ends = {0}
    for b in lives.buffers:
        ends |= {end + align_up(b.nbytes, alignment) for end in ends}
    load = max(profile_of(Lifetimes(lives.buffers, (), lives.steps)), default=0)
    arenas = sorted(arena for arena in {0, *(end + b.nbytes for end in ends for b in lives.buffers)} if arena >= load)
    return next(arena for arena in arenas if fits_by_valleys(lives, alignment, arena))


def fits_by_valleys(lives: Lifetimes, alignment: int, capacity: int) -> bool:
    """Whether all buffers fit in ``capacity`` bytes; exponential time."""
    spans = [(b.first, b.last + 1, align_up(b.nbytes, alignment), b.nbytes) for b in lives.buffers]

    @cache
    def fits(floors: tuple[int, ...], left: frozenset[int]) -> bool:
        if not left:
            return True
        lowest = {i: max(floors[spans[i][0] : spans[i][1]]) for i in left}
        if any(lowest[i] + spans[i][3] > capacity for i in left):
            return False
        held = {s for i in left for s in range(spans[i][0], spans[i][1])}
        floor, section = min((floors[s], s) for s in held)
        over = [i for i in left if spans[i][0] <= section < spans[i][1]]
        for i in over:
            begin, end, size, _ = spans[i]
            if lowest[i] == floor:
                grown = (*floors[:begin], *[floor + size] * (end - begin), *floors[end:])
                if fits(grown, left - {i}):
                    return True
        above = [lowest[i] for i in over if lowest[i] > floor]
        above += [lowest[i] + spans[i][2] for i in left if i not in over]
        if not above:
            return False
        return fits((*floors[:section], min(above), *floors[section + 1 :]), left)

    return fits((0,) * lives.steps, frozenset(i for i, b in enumerate(lives.buffers) if b.nbytes))
