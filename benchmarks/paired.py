"""Paired statistical tests of two methods on the same graphs."""

from __future__ import annotations

import math
from collections.abc import Sequence


def sign_test(differences: Sequence[float]) -> tuple[int, int, float]:
    """(below zero, above zero, p of so uneven a count if both were as likely, either way). Ties are left out."""
    below, above = sum(d < 0 for d in differences), sum(d > 0 for d in differences)
    n, fewer = below + above, min(below, above)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    return below, above, min(1.0, 2 * tail)


def wilcoxon(differences: Sequence[float]) -> float:
    """Two-sided p of the signed-rank test (Wilcoxon 1945), by the normal approximation with tied ranks averaged."""
    left = sorted((d for d in differences if d != 0), key=abs)
    n = len(left)
    if n == 0:
        return 1.0
    ranks, ties, start = [0.0] * n, 0.0, 0
    while start < n:
        end = start
        while end < n and abs(left[end]) == abs(left[start]):
            end += 1
        ranks[start:end] = [(start + 1 + end) / 2] * (end - start)
        ties += (end - start) ** 3 - (end - start)
        start = end
    positive = sum(rank for rank, d in zip(ranks, left, strict=True) if d > 0)
    variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
    if variance <= 0:
        return 1.0
    z = max(0.0, abs(positive - n * (n + 1) / 4) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))
