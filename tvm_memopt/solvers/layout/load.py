"""The load bound: any placement of given lifetimes needs at least the bytes live at the fullest step."""

from __future__ import annotations

import heapq
from itertools import accumulate

from tvm_memopt.graph import Lifetimes, align_up
from tvm_memopt.graph.liveness import best_sharing, profile_of


def padded_load(lives: Lifetimes, alignment: int) -> list[int]:
    """Live bytes at each step, with every buffer padded to the alignment and the best in-place pairs sharing."""
    delta = [0] * (lives.steps + 1)
    for b in lives.buffers:
        padded = align_up(b.nbytes, alignment)
        delta[b.first] += padded
        delta[b.last + 1] -= padded
    load = list(accumulate(delta[:-1]))
    pairs_at: dict[int, list[tuple[int, int, int]]] = {}
    for (source, target), nbytes in lives.weights().items():
        shared = align_up(nbytes, alignment)
        pairs_at.setdefault(lives.buffers[target].first, []).append((source, target, shared))
    for step, pairs in pairs_at.items():
        load[step] -= best_sharing(pairs)
    return load


def load_bound(lives: Lifetimes, alignment: int) -> int:
    """Lower bound on the arena: the largest load of a step. O(buffers · log buffers).

    Of the buffers (or sharing pairs) at a step, all but the topmost are padded, which saves at most the largest padding
    among them. With pairs, the unpadded bytes can give the better bound.
    """
    if not lives.steps:
        return 0
    if alignment == 1:
        return max(profile_of(lives))
    padding = _largest_padding(lives, alignment)
    padded = max(load - least for load, least in zip(padded_load(lives, alignment), padding, strict=True))
    return max(padded, *profile_of(lives))


def _largest_padding(lives: Lifetimes, alignment: int) -> list[int]:
    """For each step, the largest padding of one buffer live there, in bytes."""
    opening: list[list[tuple[int, int]]] = [[] for _ in range(lives.steps)]
    for b in lives.buffers:
        opening[b.first].append((b.nbytes - align_up(b.nbytes, alignment), b.last))
    heap: list[tuple[int, int]] = []
    found: list[int] = []
    for step, new in enumerate(opening):
        for entry in new:
            heapq.heappush(heap, entry)
        while heap and heap[0][1] < step:
            heapq.heappop(heap)
        found.append(-heap[0][0] if heap else 0)
    return found
