"""The free ranges of an arena of unlimited size."""

from __future__ import annotations

import math
from bisect import bisect_left


class FreeList:
    """Free ranges sorted by offset, adjacent ones merged. The last one is open-ended."""

    def __init__(self) -> None:
        self._starts: list[int] = [0]
        self._ends: list[float] = [math.inf]

    def take_lowest(self, nbytes: int) -> int:
        """Take ``nbytes`` from the lowest range that is large enough; returns the offset. O(ranges)."""
        index = next(
            i for i, (start, end) in enumerate(zip(self._starts, self._ends, strict=True)) if end - start >= nbytes
        )
        start = self._starts[index]
        self._take(index, nbytes)
        return start

    def take_at(self, start: int, nbytes: int) -> bool:
        """Take ``nbytes`` at ``start`` if a free range of at least that size begins there."""
        index = bisect_left(self._starts, start)
        fits = index < len(self._starts) and self._starts[index] == start and self._ends[index] - start >= nbytes
        if fits:
            self._take(index, nbytes)
        return fits

    def give_back(self, start: int, end: int) -> None:
        """Free the range, which must be allocated."""
        if start == end:
            return
        index = bisect_left(self._starts, start)
        joins_next = self._starts[index] == end
        if index and self._ends[index - 1] == start:
            self._ends[index - 1] = self._ends[index] if joins_next else end
            if joins_next:
                del self._starts[index], self._ends[index]
        elif joins_next:
            self._starts[index] = start
        else:
            self._starts.insert(index, start)
            self._ends.insert(index, end)

    def _take(self, index: int, nbytes: int) -> None:
        self._starts[index] += nbytes
        if self._starts[index] == self._ends[index]:
            del self._starts[index], self._ends[index]
