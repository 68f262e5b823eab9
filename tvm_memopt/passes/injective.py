"""Whether a linear index takes a different value in every iteration of its loops."""

from __future__ import annotations

from collections.abc import Iterable


def is_injective(terms: Iterable[tuple[int, int]]) -> bool:
    """Whether the sum of stride × counter differs for all counters, by a mixed-radix test.

    ``terms``: stride and extent of each loop. Sufficient, not necessary: each stride must exceed what the smaller
    strides reach together.
    """
    reach = 0
    for stride, extent in sorted(term for term in terms if term[1] > 1):
        if stride <= reach:
            return False
        reach += stride * (extent - 1)
    return True
