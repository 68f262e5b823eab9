"""The answer of a placement: an offset for each buffer, and what is proved of the arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_memopt.graph import Lifetimes


@dataclass(frozen=True)
class Placement:
    """``offsets`` stands beside ``lives.buffers``; ``lower_bound_nbytes`` holds for every placement of them.

    ``proved``: the arena equals that bound. ``interrupted``: Ctrl-C ended the search for it.
    """

    offsets: tuple[int, ...]
    arena_nbytes: int
    lower_bound_nbytes: int
    method: str
    interrupted: bool = False

    @property
    def proved(self) -> bool:
        """Whether no placement of the same lifetimes has a smaller arena."""
        return self.arena_nbytes <= self.lower_bound_nbytes


def arena_of(lives: Lifetimes, offsets: Sequence[int]) -> int:
    """Bytes from 0 to the end of the topmost buffer."""
    return max((offset + b.nbytes for offset, b in zip(offsets, lives.buffers, strict=True)), default=0)


def held_peak(lives: Lifetimes, offsets: tuple[int, ...]) -> int:
    """The largest number of bytes held at one step, shared bytes counted where a pair does lie together."""
    delta = [0] * (lives.steps + 1)
    for b in lives.buffers:
        delta[b.first] += b.nbytes
        delta[b.last + 1] -= b.nbytes
    shared = [0] * lives.steps
    for source, target in lives.inplace:
        if offsets[source] == offsets[target]:
            shared[lives.buffers[target].first] += min(lives.buffers[source].nbytes, lives.buffers[target].nbytes)
    held = peak = 0
    for change, saved in zip(delta, shared, strict=False):
        held += change
        peak = max(peak, held - saved)
    return peak
