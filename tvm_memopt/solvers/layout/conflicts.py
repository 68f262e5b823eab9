"""Offsets for blocks whose conflicts are given pair by pair, in one pool or in several pools of limited size.

The other placements need a single lifetime for each buffer. Here a block may live several times, as the scratch buffer
of a kernel that several calls share: its conflicts are all blocks that are alive at any of its lifetimes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tvm_memopt.solvers.cp_sat import run_cp_sat
from tvm_memopt.solvers.layout.gaps import lowest_fit
from tvm_memopt.solvers.request import Deadline

_STALE_ROUNDS = 400  # first-fit rounds without improvement before the annealing ends
_RESTARTS = 8
_MOST_PAIRS = 4000  # conflicts that the exact model takes


@dataclass(frozen=True)
class ConflictBlocks:
    """Blocks to place.

    ``nbytes``, ``alignments``: of each block. ``conflicts``: for each block, the blocks that must not overlap it; a
    symmetric relation. ``groups``: blocks that must have one offset; empty where each block is free.
    """

    nbytes: tuple[int, ...]
    alignments: tuple[int, ...]
    conflicts: tuple[tuple[int, ...], ...]
    groups: tuple[tuple[int, ...], ...] = ()

    @staticmethod
    def of_intervals(nbytes: Sequence[int], spans: Sequence[tuple[int, int]]) -> ConflictBlocks:
        """Blocks without alignment that conflict where their inclusive spans of steps overlap. O(blocks²)."""
        conflicts: list[list[int]] = [[] for _ in nbytes]
        for i, (first, last) in enumerate(spans):
            for j in range(i):
                if first <= spans[j][1] and spans[j][0] <= last:
                    conflicts[i].append(j)
                    conflicts[j].append(i)
        return ConflictBlocks(tuple(nbytes), (1,) * len(nbytes), tuple(tuple(sorted(c)) for c in conflicts))

    def __len__(self) -> int:
        return len(self.nbytes)

    @cached_property
    def units(self) -> tuple[tuple[int, ...], ...]:
        """The blocks that are placed together: the groups, or single blocks."""
        return self.groups or tuple((block,) for block in range(len(self)))

    def arena(self, offsets: Sequence[int]) -> int:
        """The end of the topmost block."""
        return max((o + n for o, n in zip(offsets, self.nbytes, strict=True)), default=0)

    def overlaps(self, offsets: Sequence[int]) -> list[tuple[int, int]]:
        """The pairs of conflicting blocks that overlap."""
        return [
            (i, j)
            for i, others in enumerate(self.conflicts)
            for j in others
            if i < j and offsets[i] < offsets[j] + self.nbytes[j] and offsets[j] < offsets[i] + self.nbytes[i]
        ]

    def is_valid(self, offsets: Sequence[int]) -> bool:
        """Whether no conflicting blocks overlap and each group has one offset."""
        return not self.overlaps(offsets) and all(len({offsets[b] for b in unit}) == 1 for unit in self.units)


def merged_blocks(blocks: ConflictBlocks, pairs: Iterable[tuple[int, int]]) -> ConflictBlocks:
    """Group the conflicting blocks of each pair, which may share one offset.

    A pair is left out if it would group two conflicting blocks that are not a pair.
    """
    allowed = {frozenset(pair) for pair in pairs}
    members = {block: {block} for block in range(len(blocks))}
    conflicts = [set(others) for others in blocks.conflicts]
    for one, other in sorted(tuple(sorted(pair)) for pair in allowed if len(pair) == 2):
        first, second = members[one], members[other]
        if first is second:
            continue
        if all(b not in conflicts[a] or frozenset((a, b)) in allowed for a in first for b in second):
            union = first | second
            members.update(dict.fromkeys(union, union))
    groups = list({id(group): group for group in members.values()}.values())
    kept = tuple(tuple(sorted(conflicts[b] - members[b])) for b in range(len(blocks)))
    return ConflictBlocks(blocks.nbytes, blocks.alignments, kept, tuple(tuple(sorted(g)) for g in groups))


def first_fit(blocks: ConflictBlocks, order: Iterable[int]) -> list[int]:
    """Place each unit at the lowest offset free of its conflicts that were placed before. O(blocks × degree log)."""
    offsets = [-1] * len(blocks)
    for unit in order:
        members = blocks.units[unit]
        forbidden = sorted(
            (offsets[o] - blocks.nbytes[b], offsets[o] + blocks.nbytes[o])
            for b in members
            for o in blocks.conflicts[b]
            if offsets[o] >= 0
        )
        offset = lowest_fit(forbidden, max(blocks.alignments[b] for b in members))
        for block in members:
            offsets[block] = offset
    return offsets


def clique_bound(blocks: ConflictBlocks) -> int:
    """A lower bound on the arena: the heaviest clique among those grown greedily around each block."""
    neighbours = [set(others) for others in blocks.conflicts]
    heaviest = 0
    for block in range(len(blocks)):
        members, weight = {block}, blocks.nbytes[block]
        for other in sorted(neighbours[block], key=lambda o: -blocks.nbytes[o]):
            if members <= neighbours[other]:
                members.add(other)
                weight += blocks.nbytes[other]
        heaviest = max(heaviest, weight)
    return heaviest


def place_conflicts(
    blocks: ConflictBlocks,
    deadline: Deadline,
    *,
    seed: int = 0,
    threads: int = 1,
    starts: Sequence[Sequence[int]] = (),
) -> tuple[list[int], int]:
    """Offsets of least arena found until ``deadline``, and a lower bound on the arena.

    First fit in several orders, then in orders that annealing changes where blocks reach the top, then CP-SAT. Stops
    where the arena equals the bound. ``starts``: offsets of valid placements to improve on.
    """
    bound = clique_bound(blocks)
    best = min((list(offsets) for offsets in starts), key=blocks.arena, default=None)
    orders = _orders(blocks)
    for order in orders:
        offsets = first_fit(blocks, order)
        if best is None or blocks.arena(offsets) < blocks.arena(best):
            best = offsets
        if blocks.arena(best) <= bound or deadline.passed:
            return best, bound
    assert best is not None
    rng = random.Random(seed)
    half = deadline.within(deadline.remaining / 2)
    for start in [best, *(first_fit(blocks, order) for order in orders), *([best] * _RESTARTS)]:
        best = min(best, _annealed(blocks, start, bound, half, rng), key=blocks.arena)
        if blocks.arena(best) <= bound or half.passed:
            break
    pairs = sum(map(len, blocks.conflicts)) // 2
    if blocks.arena(best) > bound and pairs <= _MOST_PAIRS and not deadline.passed:
        best, bound = _exact(blocks, best, bound, deadline, seed, threads)
    return best, bound


def _orders(blocks: ConflictBlocks) -> list[list[int]]:
    """Units by size, by the bytes they conflict with, and by both."""
    units = range(len(blocks.units))
    size = [max(blocks.nbytes[b] for b in unit) for unit in blocks.units]
    others = [{o for b in unit for o in blocks.conflicts[b]} for unit in blocks.units]
    around = [sum(blocks.nbytes[o] for o in found) for found in others]
    return [
        sorted(units, key=lambda i: (-size[i], -around[i])),
        sorted(units, key=lambda i: (-around[i], -size[i])),
        sorted(units, key=lambda i: -size[i] * (1 + len(others[i]))),
        sorted(units, key=lambda i: -(size[i] + around[i])),
    ]


def _annealed(
    blocks: ConflictBlocks, start: list[int], bound: int, deadline: Deadline, rng: random.Random
) -> list[int]:
    """Change the order of first fit: a unit at the top, or one that conflicts with it, moves forward.

    Ends after _STALE_ROUNDS rounds without improvement.
    """
    unit_of = {block: number for number, unit in enumerate(blocks.units) for block in unit}
    current = sorted(range(len(blocks.units)), key=lambda i: start[blocks.units[i][0]])
    offsets, best = first_fit(blocks, current), start
    stale = 0
    while stale < _STALE_ROUNDS and blocks.arena(best) > bound and not deadline.passed:
        candidate = _moved(blocks, current, offsets, unit_of, rng)
        placed = first_fit(blocks, candidate)
        worse = (blocks.arena(placed) - blocks.arena(offsets)) / max(blocks.arena(offsets), 1)
        if worse <= 0 or rng.random() < 0.3 * (1 - stale / _STALE_ROUNDS) * max(0.0, 1 - 20 * worse):
            current, offsets = candidate, placed
        stale += 1
        if blocks.arena(placed) < blocks.arena(best):
            best, stale = placed, 0
    return best


def _moved(
    blocks: ConflictBlocks, order: list[int], offsets: list[int], unit_of: Mapping[int, int], rng: random.Random
) -> list[int]:
    arena = blocks.arena(offsets)
    top = [block for block in range(len(blocks)) if offsets[block] + blocks.nbytes[block] == arena]
    chosen = rng.choice(top)
    around = blocks.conflicts[chosen]
    if around and rng.random() < 0.5:
        chosen = rng.choice(around)
    position = order.index(unit_of[chosen])
    rest = order[:position] + order[position + 1 :]
    rest.insert(rng.randrange(0, position + 1), unit_of[chosen])
    return rest


def _exact(
    blocks: ConflictBlocks, start: list[int], bound: int, deadline: Deadline, seed: int, threads: int
) -> tuple[list[int], int]:
    """CP-SAT with one choice for each conflict: which of the two lies below. Returns offsets and the proved bound."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    upper = blocks.arena(start)
    steps: dict[int, tuple[Any, int]] = {}
    for unit in blocks.units:
        alignment = max(blocks.alignments[b] for b in unit)
        step = model.new_int_var(0, (upper - max(blocks.nbytes[b] for b in unit)) // alignment, "")
        model.add_hint(step, start[unit[0]] // alignment)
        steps.update(dict.fromkeys(unit, (step, alignment)))
    arena = model.new_int_var(bound, upper, "")
    ends = [step * alignment for step, alignment in (steps[b] for b in range(len(blocks)))]
    for i, others in enumerate(blocks.conflicts):
        model.add(ends[i] + blocks.nbytes[i] <= arena)
        for j in (o for o in others if i < o):
            below = model.new_bool_var("")
            model.add(ends[i] + blocks.nbytes[i] <= ends[j]).only_enforce_if(below)
            model.add(ends[j] + blocks.nbytes[j] <= ends[i]).only_enforce_if(~below)
    model.minimize(arena)
    outcome = run_cp_sat(model, deadline, threads=threads, seed=seed)
    if not outcome.solved:
        return start, bound
    found = [outcome.value(steps[b][0]) * steps[b][1] for b in range(len(blocks))]
    return min(start, found, key=blocks.arena), max(bound, min(outcome.bound, upper))


def place_in_pools(
    blocks: ConflictBlocks, candidates: Sequence[Sequence[int]], capacities: Sequence[int | None]
) -> list[tuple[int, int]] | None:
    """(pool, offset) of each block, or None if no order fits.

    ``candidates``: for each block, the pools that it may lie in, best first. ``capacities``: bytes of each pool, None
    without a limit. Blocks with the fewest candidates come first.
    """
    orders = _orders(blocks)
    orders += [sorted(order, key=lambda i: len(candidates[i])) for order in orders]
    found = [placed for order in orders if (placed := _fit_pools(blocks, candidates, capacities, order)) is not None]
    return min(found, key=lambda placed: _used(blocks, placed, len(capacities)), default=None)


def _fit_pools(
    blocks: ConflictBlocks, candidates: Sequence[Sequence[int]], capacities: Sequence[int | None], order: Sequence[int]
) -> list[tuple[int, int]] | None:
    placed: list[tuple[int, int]] = [(-1, 0)] * len(blocks)
    for block in order:
        for pool in candidates[block]:
            forbidden = sorted(
                (placed[o][1] - blocks.nbytes[block], placed[o][1] + blocks.nbytes[o])
                for o in blocks.conflicts[block]
                if placed[o][0] == pool
            )
            offset = lowest_fit(forbidden, blocks.alignments[block])
            capacity = capacities[pool]
            if capacity is None or offset + blocks.nbytes[block] <= capacity:
                placed[block] = (pool, offset)
                break
        else:
            return None
    return placed


def _used(blocks: ConflictBlocks, placed: Sequence[tuple[int, int]], pools: int) -> tuple[int, ...]:
    """Bytes of the pools, least wanted pools first."""
    ends = [0] * pools
    for (pool, offset), nbytes in zip(placed, blocks.nbytes, strict=True):
        ends[pool] = max(ends[pool], offset + nbytes)
    return tuple(reversed(ends))
