"""The plain twin of greedy placement around fixed buffers, in bytes; no pair of buffers shares any."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tvm_memopt.graph import Buffer, Lifetimes, align_up


@dataclass(frozen=True)
class Item:
    """A buffer over sections [lo, hi): stretches in which no more buffers are held than at one of their moments."""

    index: int
    buffer: Buffer
    lo: int
    hi: int
    size: int

    def meets(self, other: Item) -> bool:
        return self.lo < other.hi and other.lo < self.hi


def placed_around(lives: Lifetimes, fixed: Sequence[int], alignment: int, target: int) -> tuple[list[int], int]:
    """(offsets, arena): the first of the best of best fit and first fit, each by five rules; it stops at ``target``."""
    items = items_of(lives, alignment)
    best, least = [0] * len(lives.buffers), math.inf if items else 0
    for best_fit in (True, False):
        for rule in rules(items):
            order = sorted(items, key=lambda item: (fixed[item.index] < 0, rule(item)))
            offsets = place(order, fixed, best_fit)
            arena = max((offsets[item.index] + item.buffer.nbytes for item in items), default=0)
            if arena < least:
                best, least = [offsets.get(i, 0) for i in range(len(lives.buffers))], arena
            if least <= target:
                return best, int(least)
    return best, int(least)


def place(order: Sequence[Item], fixed: Sequence[int], best_fit: bool) -> dict[int, int]:
    """Each item in turn in the tightest gap, or in the lowest, between those that are held with it."""
    offsets: dict[int, int] = {}
    done: list[Item] = []
    for item in order:
        offset = fixed[item.index]
        if offset < 0:
            taken = sorted((offsets[o.index], offsets[o.index] + o.size) for o in done if o.meets(item))
            offset = gap(taken, item.size, best_fit)
        offsets[item.index] = offset
        done.append(item)
    return offsets


def gap(taken: Sequence[tuple[int, int]], size: int, best_fit: bool) -> int:
    """Where ``size`` bytes go: into a gap that has them, or on top of all that is taken."""
    gaps, top = [], 0
    for start, end in taken:
        if start - top >= size:
            gaps.append((start - top, top))
        top = max(top, end)
    if not gaps:
        return top
    return min(gaps)[1] if best_fit else gaps[0][1]


def rules(items: Sequence[Item]) -> list[Callable[[Item], tuple[int, ...]]]:
    """By size, area, the fullest section, life and start; the items stand in order of their sections."""
    number = {item.index: place for place, item in enumerate(items)}
    held: dict[int, int] = {}
    for item in items:
        for section in range(item.lo, item.hi):
            held[section] = held.get(section, 0) + item.size

    def load(item: Item) -> int:
        return max(held[section] for section in range(item.lo, item.hi))

    def area(item: Item) -> int:
        return item.buffer.nbytes * (item.buffer.last - item.buffer.first + 1)

    return [
        lambda i: (-i.size, i.lo - i.hi, i.lo, number[i.index]),
        lambda i: (-area(i), -i.size, i.lo, number[i.index]),
        lambda i: (-load(i), -i.size, i.lo, number[i.index]),
        lambda i: (i.lo - i.hi, -i.size, i.lo, number[i.index]),
        lambda i: (i.lo, -i.size, -i.hi, number[i.index]),
    ]


def items_of(lives: Lifetimes, alignment: int) -> list[Item]:
    """The buffers that have bytes, by their sections."""
    there = [(i, b) for i, b in enumerate(lives.buffers) if b.nbytes]
    opens, closes = {b.first for _, b in there}, {b.last + 1 for _, b in there}
    moments = sorted(opens | closes)
    before = dict.fromkeys(moments, 0)  # sections that have ended by each moment
    for moment, after in pairwise(moments):
        before[after] = before[moment] + (moment in opens and after in closes)
    found = [Item(i, b, before[b.first], before[b.last + 1], align_up(b.nbytes, alignment)) for i, b in there]
    return sorted(found, key=lambda item: (item.lo, item.hi, item.index))
