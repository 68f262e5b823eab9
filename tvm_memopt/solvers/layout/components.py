"""Cuts in time: buffers on the two sides of a step that no buffer crosses can be placed independently."""

from __future__ import annotations

from dataclasses import replace

from tvm_memopt.graph import Lifetimes


def time_components(lives: Lifetimes) -> list[tuple[int, ...]]:
    """Buffers of more than zero bytes in groups, in time order. No two groups have a common step."""
    groups: list[list[int]] = []
    end = -1
    for index in sorted(range(len(lives.buffers)), key=lambda i: (lives.buffers[i].first, i)):
        b = lives.buffers[index]
        if not b.nbytes:
            continue
        if b.first > end:
            groups.append([])
        groups[-1].append(index)
        end = max(end, b.last)
    return [tuple(group) for group in groups]


def restrict(lives: Lifetimes, members: tuple[int, ...]) -> Lifetimes:
    """``lives`` with only ``members``, renumbered in that order. Steps are unchanged."""
    number = {old: new for new, old in enumerate(members)}
    inplace = tuple((number[a], number[b]) for a, b in lives.inplace if a in number and b in number)
    overlaps = tuple(
        replace(o, source=number[o.source], target=number[o.target])
        for o in lives.overlaps
        if o.source in number and o.target in number
    )
    return Lifetimes(tuple(lives.buffers[i] for i in members), inplace, lives.steps, overlaps)
