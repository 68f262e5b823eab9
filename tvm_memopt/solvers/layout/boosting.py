"""Iterated first fit: buffers that end too high are placed earlier in the next round.

The method is squeaky wheel optimisation (Joslin and Clements, JAIR 10, 1999).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tvm_memopt.solvers.layout.gaps import lowest_fit
from tvm_memopt.solvers.layout.greedy import ORDERS, Blocks, outputs_first, place_in_order, sorted_by
from tvm_memopt.solvers.request import Deadline

_PATIENCE = 400  # rounds without a smaller arena before giving up
_RESTLESS = 0.02  # probability of continuing from a worse order


def boosted_placement(
    blocks: Blocks, alignment: int, goal: int, deadline: Deadline, seed: int
) -> tuple[int, list[int]] | None:
    """Return (arena, offset of each block) of the best of many first-fit rounds.

    It stops at an arena of ``goal`` or less. Returns None if time runs out before the first round ends.
    """
    chance = random.Random(seed)
    best = _best_start(blocks, alignment, deadline)
    if best is None:
        return None
    arena, offsets, order = best
    base, height, idle = order, arena, 0
    while arena > goal and idle < _PATIENCE:
        order = _boosted(blocks, base, offsets, height if chance.random() < 0.5 else goal + 1, chance)
        found = place_in_order(blocks, order, lowest_fit, alignment, deadline)
        if found is None:
            break
        idle += 1
        reached = _arena(blocks, found)
        if reached <= height or chance.random() < _RESTLESS:
            base, height, offsets = order, reached, found
        if reached < arena:
            arena, best, idle = reached, (reached, found, order), 0
    return best[0], best[1]


def _best_start(blocks: Blocks, alignment: int, deadline: Deadline) -> tuple[int, list[int], list[int]] | None:
    best = None
    for key in ORDERS.values():
        order = outputs_first(blocks.blocks, sorted_by(blocks, key))
        offsets = place_in_order(blocks, order, lowest_fit, alignment, deadline)
        if offsets is not None and (best is None or _arena(blocks, offsets) < best[0]):
            best = _arena(blocks, offsets), offsets, order
    return best


def _boosted(
    blocks: Blocks, order: Sequence[int], offsets: Sequence[int], height: int, chance: random.Random
) -> list[int]:
    """``order`` with each block that ends at ``height`` or above moved to a random earlier position."""
    moved = list(order)
    for index in order:
        if offsets[index] + blocks.blocks[index].nbytes >= height:
            place = moved.index(index)
            moved.pop(place)
            moved.insert(chance.randrange(place + 1), index)
    return moved


def _arena(blocks: Blocks, offsets: Sequence[int]) -> int:
    return max((offset + block.nbytes for offset, block in zip(offsets, blocks.blocks, strict=True)), default=0)
