"""The result of a placement: an offset for each buffer, and the proved lower bound on the arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_memopt.graph import Lifetimes


@dataclass(frozen=True)
class Placement:
    """Offsets of the buffers, and the arena they need.

    ``offsets``: in bytes, one for each of ``lives.buffers``.
    ``lower_bound_nbytes``: holds for every placement of these buffers.
    ``proved``: whether the arena equals that bound.
    ``interrupted``: whether Ctrl-C ended the search.
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
    """Size of the arena in bytes: the end of the topmost buffer."""
    return max((offset + b.nbytes for offset, b in zip(offsets, lives.buffers, strict=True)), default=0)


def held_peak(lives: Lifetimes, offsets: tuple[int, ...]) -> int:
    """Peak memory of the placement. Bytes shared by in-place pairs placed together count once."""
    delta = [0] * (lives.steps + 1)
    for b in lives.buffers:
        delta[b.first] += b.nbytes
        delta[b.last + 1] -= b.nbytes
    shared = [0] * lives.steps
    for source, target in {*lives.inplace, *((o.source, o.target) for o in lives.overlaps)}:
        ends = min(offsets[i] + lives.buffers[i].nbytes for i in (source, target))
        shared[lives.buffers[target].first] += max(0, ends - max(offsets[source], offsets[target]))
    held = peak = 0
    for change, saved in zip(delta, shared, strict=False):
        held += change
        peak = max(peak, held - saved)
    return peak
