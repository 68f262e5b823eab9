"""Range maximum queries over a fixed list."""

from __future__ import annotations

from collections.abc import Sequence


class RangeMaximum:
    """Sparse table: O(n · log n) to build, O(1) per query."""

    def __init__(self, values: Sequence[int]) -> None:
        self._levels = [list(values)]
        width = 1
        while 2 * width <= len(values):
            below = self._levels[-1]
            self._levels.append([max(a, b) for a, b in zip(below, below[width:], strict=False)])
            width *= 2

    def over(self, first: int, last: int) -> int:
        """The maximum over indices ``first`` to ``last`` inclusive."""
        level = (last - first + 1).bit_length() - 1
        values = self._levels[level]
        return max(values[first], values[last + 1 - (1 << level)])
