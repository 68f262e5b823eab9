"""In-place chains: successive buffers at one offset, each overwriting the one before."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_memopt.graph import Lifetimes

_Pair = tuple[int, int, int]


def best_pairs(lives: Lifetimes) -> dict[int, int]:
    """At each step, the pairs that share the most bytes, as output buffer -> input buffer. Each buffer is used once."""
    pairs_at: dict[int, list[_Pair]] = {}
    for source, target in lives.inplace:
        shared = min(lives.buffers[source].nbytes, lives.buffers[target].nbytes)
        if shared:
            pairs_at.setdefault(lives.buffers[target].first, []).append((source, target, shared))
    return {target: source for pairs in pairs_at.values() for source, target, _ in _matching(pairs)[1]}


def sharing_chains(lives: Lifetimes, inplace: bool = True) -> list[tuple[int, ...]]:
    """Group all buffers of more than zero bytes into chains that share one offset. Most chains have one member.

    A buffer is the input of at most one chosen pair and the output of at most one. The members of a chain overlap in
    time only where they share bytes, so a chain can be placed like a single buffer.
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
    """The largest total of shared bytes over pairs that use each input and output at most once, and those pairs."""
    if not pairs:
        return 0, []
    head, rest = pairs[0], pairs[1:]
    apart = [p for p in rest if p[0] != head[0] and p[1] != head[1]]
    nbytes, chosen = _matching(apart)
    taken = (nbytes + head[2], [head, *chosen])
    return taken if len(apart) == len(rest) else max(taken, _matching(rest), key=lambda found: found[0])
