"""Exact placement for small problems: fill a valley from the bottom up, or waste what lies there.

In a placement that is pushed down as far as it goes, each group of blocks that share an offset rests at 0 or
on another group. So when the search stands at a step whose neighbours are filled higher, either some group
rests right there, or nothing does, and then whatever comes to lie over that step rests on a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import ge

Pair = tuple[int, int]
_Levels = tuple[int, ...]  # per step twice the height filled so far, and 1 more where nothing will rest right there
_NEVER = 2**62  # the level of a step that has all its blocks


@dataclass(frozen=True)
class Block:
    """``padded``: what the block keeps others from, ``nbytes`` rounded up to the alignment."""

    nbytes: int
    padded: int


@dataclass
class Packing:
    """``steps``: the blocks held at each step; ``pairs``: (input, output) that may lie at one offset."""

    blocks: Sequence[Block]
    steps: Sequence[frozenset[int]]
    pairs: Sequence[Pair]
    least: dict[frozenset[int], int] = field(default_factory=dict)
    spans: list[list[int]] = field(default_factory=list)
    failed: dict[frozenset[int], list[_Levels]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spans = [[s for s, held in enumerate(self.steps) if i in held] for i in range(len(self.blocks))]

    def height(self, held: frozenset[int]) -> int:
        """The least arena for blocks that are all held at one step."""
        if held not in self.least:
            pairs = [(s, t) for s, t in self.pairs if s in held and t in held]
            self.least[held] = least_height(self.blocks, held, pairs)
        return self.least[held]


def least_height(blocks: Sequence[Block], held: frozenset[int], pairs: Sequence[Pair]) -> int:
    """The least arena for the blocks ``held`` at one step: all but the topmost are padded."""
    found = []
    for chosen in _matchings(pairs):
        under = {min(pair, key=lambda i: (blocks[i].nbytes, i)) for pair in chosen}
        apart = [blocks[i] for i in held - under]
        found.append(sum(b.padded for b in apart) - max((b.padded - b.nbytes for b in apart), default=0))
    return min(found)


def _matchings(pairs: Sequence[Pair]) -> list[tuple[Pair, ...]]:
    """All choices of pairs that use each input and each output at most once."""
    chosen: list[tuple[Pair, ...]] = [()]
    for source, target in pairs:
        free = [c for c in chosen if all(source != s and target != t for s, t in c)]
        chosen += [(*c, (source, target)) for c in free]
    return chosen


def least_packing(packing: Packing, below: int) -> int | None:
    """The least arena, or None where it is not less than ``below``."""
    floor = max((packing.height(step) for step in packing.steps), default=0)
    if below > floor and _pack(packing, floor) is not None:  # little to waste: found or refuted soon
        return floor
    packing.failed.clear()
    best: int | None = None
    while below > floor + 1 and (found := _pack(packing, below - 1)) is not None:
        best = below = found
    return best


def _pack(packing: Packing, capacity: int) -> int | None:
    """An arena of at most ``capacity``, or None; asked first of ever wider stretches around the fullest step."""
    loads = [-1, *(packing.height(held) for held in packing.steps), -1]
    begin = end = max(range(1, len(loads) - 1), key=loads.__getitem__)
    for width in (4, 8):
        while end - begin + 1 < min(width, len(packing.steps)):
            begin, end = (begin - 1, end) if loads[begin - 1] > loads[end + 1] else (begin, end + 1)
        part = Packing(packing.blocks, packing.steps[begin - 1 : end], packing.pairs, packing.least)
        if _solve(part, capacity) is None:
            return None
    return _solve(packing, capacity)


def _solve(packing: Packing, capacity: int) -> int | None:
    return _fill(packing, frozenset().union(*packing.steps), [0] * len(packing.steps), capacity, 0)


def _fill(packing: Packing, left: frozenset[int], filled: Sequence[int], capacity: int, arena: int) -> int | None:
    """The arena once all that is ``left`` is placed in ``capacity`` bytes, or None when that is impossible."""
    if not left:
        return arena
    levels = _settled(packing, left, filled)
    known = packing.failed.setdefault(left, [])
    if not _may_fit(packing, left, levels, capacity) or any(all(map(ge, levels, other)) for other in known):
        return None
    step = _next_step(packing, left, levels, capacity)
    for group in _groups_at(packing, left, levels, step):
        offset = levels[step] // 2
        top = offset + max(packing.blocks[i].nbytes for i in group)
        after = _with_group(packing, levels, group, offset)
        if top <= capacity and (found := _fill(packing, left - group, after, capacity, max(arena, top))) is not None:
            return found
    wasted = [level | (s == step) for s, level in enumerate(levels)]
    found = _fill(packing, left, wasted, capacity, arena)
    if found is None:
        known.append(levels)
    return found


def _settled(packing: Packing, left: frozenset[int], filled: Sequence[int]) -> _Levels:
    """Valleys where nothing more rests are raised to the lower of the steps beside them."""
    levels = [level if held & left else _NEVER for held, level in zip(packing.steps, filled, strict=True)]
    while True:
        dead = [(b, e, rim) for b, e, rim in _valleys(levels) if all(level & 1 for level in levels[b:e])]
        if not dead:
            return tuple(levels)
        for begin, end, rim in dead:
            levels[begin:end] = [rim] * (end - begin)


def _valleys(levels: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(begin, end, level of the lower neighbour) of each run of one height between higher ones."""
    runs = [(height, len(list(run))) for height, run in groupby(level >> 1 for level in levels)]
    heights = [_NEVER >> 1, *(height for height, _ in runs), _NEVER >> 1]
    begin = 0
    for index, (height, length) in enumerate(runs, 1):
        rim = min(heights[index - 1], heights[index + 1])
        if height < rim:
            yield begin, begin + length, 2 * rim
        begin += length


def _next_step(packing: Packing, left: frozenset[int], levels: _Levels, capacity: int) -> int:
    """The open step of a valley with the fewest groups to try, and then the least room to waste."""

    def cost(step: int) -> tuple[int, int]:
        room = capacity - levels[step] // 2 - packing.height(packing.steps[step] & left)
        return len(_groups_at(packing, left, levels, step)), room

    steps = (s for begin, end, _ in _valleys(levels) for s in range(begin, end))
    return min((s for s in steps if not levels[s] & 1), key=cost)


def _may_fit(packing: Packing, left: frozenset[int], levels: _Levels, capacity: int) -> bool:
    """Whether what is left at each step fits above its level; over a wasted step it rests on something higher."""
    least = min(packing.blocks[i].padded for i in left)
    for begin, end, rim in _valleys(levels):
        for s in range(begin, end):
            bottom = min(rim // 2, levels[s] // 2 + least) if levels[s] & 1 else levels[s] // 2
            if bottom + packing.height(packing.steps[s] & left) > capacity:
                return False
    full = [(held & left, level // 2) for held, level in zip(packing.steps, levels, strict=True)]
    return all(not waiting or height + packing.height(waiting) <= capacity for waiting, height in full)


def _groups_at(packing: Packing, left: frozenset[int], levels: _Levels, step: int) -> list[frozenset[int]]:
    """Groups over ``step`` that can rest at its level: a block alone, or a chain of sharing pairs."""
    flat = {i for i in left if all(levels[s] == levels[step] for s in packing.spans[i])}
    pairs = [(a, b) for a, b in packing.pairs if a in flat and b in flat]
    waiting = [(frozenset([i]), i, i) for i in flat]
    found = set()
    for group, first, last in waiting:
        if group not in found:
            found.add(group)
            waiting += [(group | {a}, a, last) for a, b in pairs if b == first]
            waiting += [(group | {b}, first, b) for a, b in pairs if a == last]
    over = [group for group in found if any(step in packing.spans[i] for i in group)]
    return sorted(over, key=lambda group: (-len(group), -max(packing.blocks[i].nbytes for i in group), sorted(group)))


def _with_group(packing: Packing, levels: _Levels, group: frozenset[int], offset: int) -> list[int]:
    raised = list(levels)
    for i in group:
        for s in packing.spans[i]:
            raised[s] = max(raised[s], 2 * (offset + packing.blocks[i].padded))
    return raised
