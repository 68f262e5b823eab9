"""In-place chains: buffers that follow each other at one offset, each overwriting the one before."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_memopt.graph import Lifetimes

_Pair = tuple[int, int, int]


def best_pairs(lives: Lifetimes) -> dict[int, int]:
    """Per step the pairs that share most bytes, each buffer once: output buffer -> input buffer."""
    pairs_at: dict[int, list[_Pair]] = {}
    for source, target in lives.inplace:
        shared = min(lives.buffers[source].nbytes, lives.buffers[target].nbytes)
        if shared:
            pairs_at.setdefault(lives.buffers[target].first, []).append((source, target, shared))
    return {target: source for pairs in pairs_at.values() for source, target, _ in _matching(pairs)[1]}


def sharing_chains(lives: Lifetimes, inplace: bool = True) -> list[tuple[int, ...]]:
    """All buffers of more than zero bytes in chains that lie at one offset; most chains have one member.

    A buffer is the input of at most one chosen pair and the output of at most one, and a chain's
    members meet only where they share, so chains can be placed like single buffers.
    """
    source_of = best_pairs(lives) if inplace else {}
    target_of = {source: target for target, source in source_of.items()}
    chains: list[tuple[int, ...]] = []
    for index, b in enumerate(lives.buffers):
        if index in source_of or not b.nbytes:
            continue
        chain = [index]
        while chain[-1] in target_of:
            chain.append(target_of[chain[-1]])
        chains.append(tuple(chain))
    return chains


def _matching(pairs: Sequence[_Pair]) -> tuple[int, list[_Pair]]:
    """The pairs that use each input and output at most once and share most bytes, with that sum."""
    if not pairs:
        return 0, []
    head, rest = pairs[0], pairs[1:]
    apart = [p for p in rest if p[0] != head[0] and p[1] != head[1]]
    nbytes, chosen = _matching(apart)
    taken = (nbytes + head[2], [head, *chosen])
    return taken if len(apart) == len(rest) else max(taken, _matching(rest), key=lambda found: found[0])
