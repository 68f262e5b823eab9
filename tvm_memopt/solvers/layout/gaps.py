"""First fit and best fit, given the offsets that placed neighbours forbid."""

from __future__ import annotations

from collections.abc import Iterable

from tvm_memopt.graph import align_up


def lowest_fit(forbidden: Iterable[tuple[int, int]], alignment: int) -> int:
    """The smallest aligned offset outside all open intervals, which are sorted by lower end."""
    offset = 0
    for low, high in forbidden:
        if low >= offset:
            return offset
        if high > offset:
            offset = align_up(high, alignment)
    return offset


def tightest_fit(forbidden: Iterable[tuple[int, int]], alignment: int) -> int:
    """The start of the narrowest free range of offsets. Ties go to the lowest; the open-ended range comes last."""
    offset, best, slack = 0, -1, -1
    for low, high in forbidden:
        if low >= offset and (slack < 0 or low - offset < slack):
            best, slack = offset, low - offset
        if high > offset:
            offset = align_up(high, alignment)
    return offset if slack < 0 else best
