"""Bins for blocks with conflicts: executors without offsets give each tensor a whole storage of its own or shared.

A bin is as large as its largest block, and two conflicting blocks may not share it. Least total size is a weighted
colouring of the conflict graph.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tvm_memopt.solvers.cp_sat import run_cp_sat
from tvm_memopt.solvers.layout.conflicts import ConflictBlocks, clique_bound
from tvm_memopt.solvers.request import Deadline

_STALE_ROUNDS = 300
_MOST_BLOCKS = 120  # that the exact model takes


def bins_nbytes(blocks: ConflictBlocks, bins: Sequence[int]) -> int:
    """Total size of all bins."""
    sizes: dict[int, int] = {}
    for block, chosen in enumerate(bins):
        sizes[chosen] = max(sizes.get(chosen, 0), blocks.nbytes[block])
    return sum(sizes.values())


def assign_bins(
    blocks: ConflictBlocks, deadline: Deadline, *, seed: int = 0, threads: int = 1, start: Sequence[int] | None = None
) -> tuple[list[int], int]:
    """The bin of each block with the least total size found until ``deadline``, and a lower bound on that size.

    Blocks in descending order take the bin that grows least; then their order is changed at random; then CP-SAT.
    ``start``: a valid assignment to improve on.
    """
    bound = clique_bound(blocks)
    order = sorted(range(len(blocks)), key=lambda i: (-blocks.nbytes[i], -len(blocks.conflicts[i])))
    best = _first_fit(blocks, order)
    if start is not None and bins_nbytes(blocks, start) <= bins_nbytes(blocks, best):
        best = list(start)
    rng, stale = random.Random(seed), 0
    while stale < _STALE_ROUNDS and bins_nbytes(blocks, best) > bound and not deadline.passed:
        candidate = _swapped(order, rng)
        bins = _first_fit(blocks, candidate)
        stale += 1
        if bins_nbytes(blocks, bins) < bins_nbytes(blocks, best):
            best, order, stale = bins, candidate, 0
    if bins_nbytes(blocks, best) > bound and len(blocks) <= _MOST_BLOCKS and not deadline.passed:
        best, bound = _exact(blocks, best, bound, deadline, seed, threads)
    return best, bound


def _swapped(order: list[int], rng: random.Random) -> list[int]:
    changed = order.copy()
    if len(changed) > 1:
        i, j = rng.sample(range(len(changed)), 2)
        changed.insert(j, changed.pop(i))
    return changed


def _first_fit(blocks: ConflictBlocks, order: Sequence[int]) -> list[int]:
    """Put each block into the bin without conflicts that grows least; of those, the smallest."""
    bins = [-1] * len(blocks)
    sizes: list[int] = []
    for block in order:
        taken = {bins[other] for other in blocks.conflicts[block]}
        nbytes = blocks.nbytes[block]
        free = [b for b in range(len(sizes)) if b not in taken]
        chosen = min(free, key=lambda b: (max(0, nbytes - sizes[b]), sizes[b]), default=len(sizes))
        if chosen == len(sizes):
            sizes.append(0)
        sizes[chosen] = max(sizes[chosen], nbytes)
        bins[block] = chosen
    return bins


def _exact(
    blocks: ConflictBlocks, start: list[int], bound: int, deadline: Deadline, seed: int, threads: int
) -> tuple[list[int], int]:
    """CP-SAT: each block joins a representative, the largest block of its bin. Returns bins and the proved bound."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    order = sorted(range(len(blocks)), key=lambda i: -blocks.nbytes[i])
    rank = {block: position for position, block in enumerate(order)}
    joins = {
        (i, j): model.new_bool_var("")
        for i in order
        for j in order
        if rank[j] <= rank[i] and j not in blocks.conflicts[i]
    }
    for i in order:
        model.add_exactly_one(literal for (k, _), literal in joins.items() if k == i)
    for (i, j), literal in joins.items():
        model.add_implication(literal, joins[j, j])
        for other in blocks.conflicts[i]:
            if i < other and (other, j) in joins:
                model.add_at_most_one([literal, joins[other, j]])
    leader = {b: min((i for i, mine in enumerate(start) if mine == b), key=rank.__getitem__) for b in set(start)}
    for (i, j), literal in joins.items():
        model.add_hint(literal, int(leader[start[i]] == j))
    total = sum(blocks.nbytes[j] * joins[j, j] for j in order)
    model.add(total >= bound)
    model.minimize(total)
    outcome = run_cp_sat(model, deadline, threads=threads, seed=seed)
    if not outcome.solved:
        return start, bound
    found = [
        next(j for (k, j), literal in joins.items() if k == i and outcome.value(literal)) for i in range(len(blocks))
    ]
    names = {leader_id: number for number, leader_id in enumerate(dict.fromkeys(found))}
    bins = [names[j] for j in found]
    best = min(start, bins, key=lambda b: bins_nbytes(blocks, b))
    return best, max(bound, min(outcome.bound, bins_nbytes(blocks, best)))
