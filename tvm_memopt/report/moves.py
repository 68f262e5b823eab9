"""Ops that a schedule moves relative to the given order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def moved_ops(schedule: Sequence[int]) -> frozenset[int]:
    """Return a smallest set of ops whose moves explain the order of first runs. Repeats are not moves.

    Op ids are positions in the given order, so the ops that stay form a longest increasing subsequence.
    """
    firsts = list(dict.fromkeys(schedule))
    return frozenset(firsts) - frozenset(_longest_increasing(firsts))


def _longest_increasing(values: Sequence[int]) -> list[int]:
    """Longest increasing subsequence by patience sorting with back links. O(n log n)."""
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
