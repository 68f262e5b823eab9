"""A sweep over steps that finds allocations with overlapping bytes, used by the checker only."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from tvm_memopt.graph.plan import Allocation

_Entry = tuple[int, int, Allocation]  # offset, rank by first step, allocation


def overlapping(allocations: Iterable[Allocation]) -> Iterator[tuple[Allocation, Allocation, int]]:
    """Yield (older, newer, shared bytes) for every two allocations that overlap in steps and in bytes.

    ``apart`` holds the live allocations that are disjoint, sorted by offset, so that a new allocation is compared only
    with its neighbours there. ``crossing`` holds the others, which move to ``apart`` as soon as their partner has died.
    O(allocations·log live + pairs) if few allocations cross.
    """
    order = sorted((a for a in allocations if a.nbytes > 0), key=lambda a: a.first)
    apart: list[_Entry] = []
    crossing: list[_Entry] = []
    ending: dict[int, list[_Entry]] = {}
    for index, new in enumerate(order):
        if index and new.first != (step := order[index - 1].first):
            for entry in (e for s in range(step, new.first) for e in ending.pop(s, ())):
                place = bisect_left(apart, entry[:2], key=lambda e: e[:2])
                if place < len(apart) and apart[place] is entry:
                    del apart[place]
            waiting, crossing = [e for e in crossing if e[2].last >= new.first], []
            for entry in waiting:
                _insert_apart(apart, crossing, entry)
        for old in (*_meeting(apart, new), *(e[2] for e in crossing)):
            if (shared := min(old.end, new.end) - max(old.offset, new.offset)) > 0:
                yield old, new, shared
        entry = (new.offset, index, new)
        _insert_apart(apart, crossing, entry)
        ending.setdefault(new.last, []).append(entry)


def _meeting(apart: list[_Entry], new: Allocation) -> list[Allocation]:
    """Members of ``apart`` whose bytes overlap those of ``new``."""
    begin = bisect_left(apart, new.offset, key=lambda e: e[0])
    end = bisect_left(apart, new.end, begin, key=lambda e: e[0])
    if begin and apart[begin - 1][2].end > new.offset:
        begin -= 1
    return [entry[2] for entry in apart[begin:end]]


def _insert_apart(apart: list[_Entry], crossing: list[_Entry], entry: _Entry) -> None:
    if _meeting(apart, entry[2]):
        crossing.append(entry)
    else:
        insort(apart, entry, key=lambda e: e[:2])
