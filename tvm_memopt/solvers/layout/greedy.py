"""Greedy placement: sort the buffers once, then give each the first or the tightest free offset.

Only buffers that are live at a common step can conflict, so each buffer is compared only with its neighbours in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tvm_memopt.graph import Lifetimes
from tvm_memopt.solvers.layout.chains import sharing_chains
from tvm_memopt.solvers.layout.gaps import lowest_fit, tightest_fit
from tvm_memopt.solvers.layout.load import padded_load
from tvm_memopt.solvers.layout.sliding import RangeMaximum
from tvm_memopt.solvers.request import Deadline

Fit = Callable[[list[tuple[int, int]], int], int]
_CHECK_EVERY = 128


@dataclass(frozen=True)
class Block:
    """A chain of buffers at one offset, with the figures that the sort orders use.

    ``after``: the block, if any, into which this one should reach, and which is better placed before it.
    """

    buffers: tuple[int, ...]
    first: int
    last: int
    nbytes: int
    area: int
    load: int
    after: int | None = None


@dataclass(frozen=True)
class Blocks:
    """The blocks and their neighbours in time.

    ``neighbours[i]``: (j, below, above) for each block j live at a common step with block i. If j is at offset x, block
    i cannot lie in the open interval (x - below, x + above).
    """

    blocks: tuple[Block, ...]
    neighbours: tuple[tuple[tuple[int, int, int], ...], ...]


ORDERS: Mapping[str, Callable[[Block], tuple[int, ...]]] = {
    "size": lambda b: (-b.nbytes, -(b.last - b.first), b.first),
    "area": lambda b: (-b.area, -b.nbytes, b.first),
    "breadth": lambda b: (-b.load, -b.nbytes, b.first),
    "lifetime": lambda b: (b.first - b.last, -b.nbytes, b.first),
    "start": lambda b: (b.first, -b.nbytes, -b.last),
}
_FITS: Mapping[str, Fit] = {"first fit": lowest_fit, "best fit": tightest_fit}


def make_blocks(lives: Lifetimes, alignment: int, inplace: bool, deadline: Deadline) -> Blocks | None:
    """Chains and their neighbours in time; None if time runs out. O(pairs that overlap in time)."""
    chains = sharing_chains(lives, inplace)
    load = RangeMaximum(padded_load(lives, alignment))
    blocks = tuple(_block(lives, chain, load) for chain in chains)
    block_of = {buffer: index for index, chain in enumerate(chains) for buffer in chain}
    apart = lives if inplace else lives.apart()
    distance = {(o.source, o.target): o.distance for o in apart.overlaps}
    meets: list[dict[int, tuple[int, int]]] = [{} for _ in blocks]
    live: list[int] = []
    for count, new in enumerate(sorted(block_of, key=lambda i: lives.buffers[i].first)):
        if count % _CHECK_EVERY == 0 and deadline.passed:
            return None
        b = lives.buffers[new]
        live = [i for i in live if lives.buffers[i].last >= b.first]
        mine = block_of[new]
        for other in live:
            theirs = block_of[other]
            if theirs != mine:
                beneath, over = _forbidden(lives, new, other, distance)
                below, above = meets[mine].get(theirs, (beneath, over))
                below, above = max(below, beneath), max(above, over)
                meets[mine][theirs], meets[theirs][mine] = (below, above), (above, below)
        live.append(new)
    neighbours = tuple(tuple((j, *sizes) for j, sizes in found.items()) for found in meets)
    return Blocks(_with_partners(blocks, block_of, apart), neighbours)


def _forbidden(lives: Lifetimes, one: int, other: int, distance: Mapping[tuple[int, int], int]) -> tuple[int, int]:
    """(below, above): with ``other`` at offset x, ``one`` cannot lie in the interval (x - below, x + above)."""
    below, above = lives.buffers[one].nbytes, lives.buffers[other].nbytes
    if (one, other) in distance:  # an input keeps its distance above the output
        above = min(above, distance[one, other])
    elif (other, one) in distance:
        below = min(below, distance[other, one])
    return below, above


def _with_partners(blocks: Sequence[Block], block_of: Mapping[int, int], lives: Lifetimes) -> tuple[Block, ...]:
    partner: dict[int, tuple[int, int]] = {}
    for overlap in lives.overlaps:
        source, target = block_of.get(overlap.source), block_of.get(overlap.target)
        if source is not None and target is not None and source != target:
            partner[source] = max(partner.get(source, (0, 0)), (overlap.weight, target))
    return tuple(replace(b, after=partner[i][1]) if i in partner else b for i, b in enumerate(blocks))


def outputs_first(blocks: Sequence[Block], order: Sequence[int]) -> list[int]:
    """``order`` with the block that each one reaches into before it, since inputs lie above outputs."""
    placed: dict[int, None] = {}
    for index in order:
        waiting: list[int] = []
        current: int | None = index
        while current is not None and current not in placed and current not in waiting:
            waiting.append(current)
            current = blocks[current].after
        placed.update(dict.fromkeys(reversed(waiting)))
    return list(placed)


def _block(lives: Lifetimes, chain: tuple[int, ...], load: RangeMaximum) -> Block:
    members = [lives.buffers[i] for i in chain]
    first, last = members[0].first, members[-1].last
    area = sum(b.nbytes * (b.last - b.first + 1) for b in members)
    return Block(chain, first, last, max(b.nbytes for b in members), area, load.over(first, last))


def greedy_placements(
    blocks: Blocks, alignment: int, deadline: Deadline, best_fit: bool = True
) -> Iterator[tuple[str, list[int]]]:
    """Yield (method, offset of each block) for every order and fit, until time runs out."""
    for fit_name, fit in _FITS.items():
        for order_name, key in ORDERS.items():
            if fit_name == "best fit" and not best_fit:
                continue
            order = outputs_first(blocks.blocks, sorted_by(blocks, key))
            offsets = place_in_order(blocks, order, fit, alignment, deadline)
            if offsets is None:
                return
            yield f"{fit_name} by {order_name}", offsets


def sorted_by(blocks: Blocks, key: Callable[[Block], tuple[int, ...]]) -> list[int]:
    """The blocks in the order of ``key``."""
    return sorted(range(len(blocks.blocks)), key=lambda i: key(blocks.blocks[i]))


def place_in_order(
    blocks: Blocks, order: Sequence[int], fit: Fit, alignment: int, deadline: Deadline
) -> list[int] | None:
    """Offset of each block, placed in ``order``; None if time runs out."""
    offsets = [-1] * len(blocks.blocks)
    for count, index in enumerate(order):
        if count % _CHECK_EVERY == 0 and deadline.passed:
            return None
        forbidden = [
            (offsets[j] - below, offsets[j] + above) for j, below, above in blocks.neighbours[index] if offsets[j] >= 0
        ]
        forbidden.sort()
        offsets[index] = fit(forbidden, alignment)
    return offsets
