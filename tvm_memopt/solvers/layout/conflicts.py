"""Offsets for blocks whose conflicts are given pair by pair, in one pool or in several pools of limited size.

The other placements need a single lifetime for each buffer. Here a block may live several times, as the scratch buffer
of a kernel that several calls share: its conflicts are all blocks that are alive at any of its lifetimes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    symmetric relation.
    """

    nbytes: tuple[int, ...]
    alignments: tuple[int, ...]
    conflicts: tuple[tuple[int, ...], ...]

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


@dataclass(frozen=True)
class MergedBlocks:
    """Blocks of which some share an address: groups, each as large as its largest member.

    ``group_of``: the group of each original block.
    """

    blocks: ConflictBlocks
    original: ConflictBlocks
    group_of: tuple[int, ...]

    def offsets_of_blocks(self, offsets: Sequence[int]) -> list[int]:
        """The offset of each original block."""
        return [offsets[group] for group in self.group_of]

    def offsets_of_groups(self, offsets: Sequence[int]) -> list[int] | None:
        """The offset of each group in a placement of the original blocks; None if it is no valid one of the groups."""
        found: dict[int, int] = {}
        for block, group in enumerate(self.group_of):
            if found.setdefault(group, offsets[block]) != offsets[block]:
                return None
        placed = [found[group] for group in range(len(self.blocks))]
        return None if self.blocks.overlaps(placed) else placed


def merged_blocks(blocks: ConflictBlocks, pairs: Iterable[tuple[int, int]]) -> MergedBlocks:
    """Merge the conflicting blocks of each pair, which may share one address.

    A pair is left out if it would merge two conflicting blocks that are not a pair.
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
    group_of = {block: number for number, group in enumerate(groups) for block in group}
    between = [{group_of[o] for b in group for o in conflicts[b]} - {n} for n, group in enumerate(groups)]
    merged = ConflictBlocks(
        tuple(max(blocks.nbytes[b] for b in group) for group in groups),
        tuple(max(blocks.alignments[b] for b in group) for group in groups),
        tuple(tuple(sorted(others)) for others in between),
    )
    return MergedBlocks(merged, blocks, tuple(group_of[b] for b in range(len(blocks))))


def first_fit(blocks: ConflictBlocks, order: Iterable[int]) -> list[int]:
    """Place each block at the lowest offset free of its conflicts that were placed before. O(blocks × degree log)."""
    offsets = [-1] * len(blocks)
    for block in order:
        taken = sorted((offsets[o], offsets[o] + blocks.nbytes[o]) for o in blocks.conflicts[block] if offsets[o] >= 0)
        offsets[block] = _lowest(taken, blocks.nbytes[block], blocks.alignments[block])
    return offsets


def _lowest(taken: list[tuple[int, int]], nbytes: int, alignment: int) -> int:
    return lowest_fit(((low - nbytes, high) for low, high in taken), alignment)


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
    """Blocks by size, by the bytes they conflict with, and by both."""
    ids = range(len(blocks))
    around = [sum(blocks.nbytes[o] for o in others) for others in blocks.conflicts]
    return [
        sorted(ids, key=lambda i: (-blocks.nbytes[i], -around[i])),
        sorted(ids, key=lambda i: (-around[i], -blocks.nbytes[i])),
        sorted(ids, key=lambda i: -blocks.nbytes[i] * (1 + len(blocks.conflicts[i]))),
        sorted(ids, key=lambda i: -(blocks.nbytes[i] + around[i])),
    ]


def _annealed(
    blocks: ConflictBlocks, start: list[int], bound: int, deadline: Deadline, rng: random.Random
) -> list[int]:
    """Change the order of first fit: a block at the top, or one that conflicts with it, moves forward.

    Ends after _STALE_ROUNDS rounds without improvement.
    """
    order = sorted(range(len(blocks)), key=lambda i: start[i])
    best = start
    current, current_arena = order, blocks.arena(first_fit(blocks, order))
    stale = 0
    while stale < _STALE_ROUNDS and blocks.arena(best) > bound and not deadline.passed:
        candidate = _moved(blocks, current, first_fit(blocks, current), rng)
        offsets = first_fit(blocks, candidate)
        arena = blocks.arena(offsets)
        worse = (arena - current_arena) / max(current_arena, 1)
        if worse <= 0 or rng.random() < 0.3 * (1 - stale / _STALE_ROUNDS) * max(0.0, 1 - 20 * worse):
            current, current_arena = candidate, arena
        stale += 1
        if arena < blocks.arena(best):
            best, stale = offsets, 0
    return best


def _moved(blocks: ConflictBlocks, order: list[int], offsets: list[int], rng: random.Random) -> list[int]:
    arena = blocks.arena(offsets)
    top = [i for i in order if offsets[i] + blocks.nbytes[i] == arena]
    chosen = rng.choice(top)
    around = blocks.conflicts[chosen]
    if around and rng.random() < 0.5:
        chosen = rng.choice(around)
    position = order.index(chosen)
    rest = order[:position] + order[position + 1 :]
    rest.insert(rng.randrange(0, position + 1), chosen)
    return rest


def _exact(
    blocks: ConflictBlocks, start: list[int], bound: int, deadline: Deadline, seed: int, threads: int
) -> tuple[list[int], int]:
    """CP-SAT with one choice for each conflict: which of the two lies below. Returns offsets and the proved bound."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    upper = blocks.arena(start)
    units = [model.new_int_var(0, (upper - n) // a, "") for n, a in zip(blocks.nbytes, blocks.alignments, strict=True)]
    arena = model.new_int_var(bound, upper, "")
    for i, others in enumerate(blocks.conflicts):
        model.add(units[i] * blocks.alignments[i] + blocks.nbytes[i] <= arena)
        model.add_hint(units[i], start[i] // blocks.alignments[i])
        for j in others:
            if i < j:
                below = model.new_bool_var("")
                ends = (units[i] * blocks.alignments[i], units[j] * blocks.alignments[j])
                model.add(ends[0] + blocks.nbytes[i] <= ends[1]).only_enforce_if(below)
                model.add(ends[1] + blocks.nbytes[j] <= ends[0]).only_enforce_if(~below)
    model.minimize(arena)
    outcome = run_cp_sat(model, deadline, threads=threads, seed=seed)
    if not outcome.solved:
        return start, bound
    found = [outcome.value(unit) * alignment for unit, alignment in zip(units, blocks.alignments, strict=True)]
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
            taken = sorted(
                (placed[o][1], placed[o][1] + blocks.nbytes[o]) for o in blocks.conflicts[block] if placed[o][0] == pool
            )
            offset = _lowest(taken, blocks.nbytes[block], blocks.alignments[block])
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
