"""Techniques of search_remat that ``disabled`` can turn off, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

REMAT_SWITCHES: Mapping[str, str] = {
    "keep-cut": "Start from schedules that keep, across an order's widest step, what a minimum cut selects.",
    "eviction": "Start from schedules that evict tensors for room along an order and recompute them when read.",
    "order-annealing": "First anneal the order alone, to find one that fits without repeats.",
    "order-search": "Spend a small part of the time on the order search: a start, and a bound that forces a repeat.",
    "cut-bound": "Bound the cost of repeats from below by minimum cuts at first runs of ops near the widest step.",
    "price-bound": "Bound the cost of repeats from below by order searches with a price on each byte.",
    "restarts": "Anneal anew from several orders, alternating with annealing from the best schedules.",
    "guided-repeats": "Recompute an op right before a far read of its output, across a step over the budget.",
    "chains": "With an op that runs again, also recompute its inputs that are no longer live.",
    "block-moves": "Let a run push the neighbour that blocks it.",
    "exchange": "Drop one repeat and add another in one move.",
    "windows": "Solve short windows of the best schedule exactly after each round of annealing from it.",
    "adaptive-weight": "Adapt the weight of bytes over the budget to how often the search is within it.",
}
"""Name -> what it does; every switch is on by default."""
