"""Which ops a schedule moved against the given order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def moved_ops(schedule: Sequence[int]) -> frozenset[int]:
    """The fewest ops whose moves explain the order of first runs; repeats are no moves.

    Op ids are places in the given order, so the ops that stayed are a longest increasing subsequence.
    """
    firsts = list(dict.fromkeys(schedule))
    return frozenset(firsts) - frozenset(_longest_increasing(firsts))


def _longest_increasing(values: Sequence[int]) -> list[int]:
    """Patience sorting with links back, O(n log n)."""
    tails: list[int] = []
    places: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        place = bisect_left(tails, value)
        before.append(places[place - 1] if place else -1)
        if place == len(tails):
            tails.append(value)
            places.append(index)
        else:
            tails[place], places[place] = value, index
    found: list[int] = []
    index = places[-1] if places else -1
    while index >= 0:
        found.append(values[index])
        index = before[index]
    return found[::-1]
