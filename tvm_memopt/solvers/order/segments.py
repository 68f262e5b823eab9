"""The state of an order search: the best order, cut into segments that are solved independently."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tvm_memopt.solvers.native import order as native
from tvm_memopt.solvers.native.order.problem import PackedProblem


@dataclass(eq=False)
class Segment:
    """Consecutive steps with the same set of ops in every order. ``found_by``: method that found its best order."""

    window: native.Window
    peak: int
    bound: int
    found_by: str

    @property
    def size(self) -> int:
        """Number of ops."""
        return self.window.last - self.window.first


@dataclass
class SearchState:
    """State shared by all workers. Every method takes the lock."""

    problem: PackedProblem
    order: np.ndarray
    segments: list[Segment]
    found_by: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    version: int = 0

    @property
    def peak(self) -> int:
        """The peak of the best order."""
        return max((s.peak for s in self.segments), default=0)

    @property
    def bound(self) -> int:
        """A lower bound on the peak of every order."""
        return max((s.bound for s in self.segments), default=0)

    @property
    def proved(self) -> bool:
        """Whether the best order is proved optimal."""
        return self.peak <= self.bound

    def worst(self) -> tuple[Segment, np.ndarray]:
        """The segment that sets the peak, and a copy of the order to work on."""
        with self.lock:
            return max(self.segments, key=lambda s: s.peak), self.order.copy()

    def improve(self, segment: Segment, order: np.ndarray, peak: int, method: str) -> bool:
        """Replace the order of the segment if ``order`` is better. Returns whether it was."""
        with self.lock:
            if peak >= segment.peak:
                return False
            window = slice(segment.window.first, segment.window.last)
            self.order[window] = order[window]
            segment.peak, segment.found_by = peak, method
            self.version += 1
            return True

    def raise_bound(self, segment: Segment, bound: int) -> None:
        """Raise the lower bound of the segment if ``bound`` is better."""
        with self.lock:
            if bound > segment.bound:
                segment.bound = min(bound, segment.peak)
                self.version += 1


def search_state(problem: PackedProblem, order: Sequence[int] | np.ndarray, method: str, *, cut: bool) -> SearchState:
    """The initial state, starting from ``order``."""
    vector = native.order_vector(order)
    held = native.profile(problem, vector)
    places = native.forced_cuts(problem, vector) if cut else [0, problem.ops]
    segments = []
    for first, last in pairwise(places):
        if first < last:
            peak = int(held[first:last].max())
            alone = last - first == 1  # a single op has no other order
            segments.append(Segment(native.Window(first, last), peak, peak if alone else 0, method))
    return SearchState(problem, vector, segments, method)
