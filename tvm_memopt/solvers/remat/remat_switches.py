"""The tricks of search_remat that ``disabled`` can turn off, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

REMAT_SWITCHES: Mapping[str, str] = {
    "keep-cut": "Begin with schedules that keep at an order's widest step what a minimum cut finds worth its bytes.",
    "eviction": "Begin with schedules that drop what is in the way of an order and make it again where it is read.",
    "order-annealing": "Look for an order that fits without a repeat by annealing the order alone first.",
    "order-search": "Give a small part of the time to the order search: a start, and a bound that forces a repeat.",
    "cut-bound": "Bound the cost of repeats from below by minimum cuts at the first run of ops of the widest step.",
    "price-bound": "Bound the cost of repeats from below by order searches where each byte has a price.",
    "restarts": "Anneal anew from several orders, in turn with annealing on from the best schedules.",
    "guided-repeats": "Run an op again right before a far read of what it makes, across a step over the budget.",
    "chains": "With an op that runs again, run again what it reads and is no longer held.",
    "block-moves": "Let a run push on the neighbour that holds it back.",
    "exchange": "Drop one repeat and add another in one move.",
    "windows": "Solve short stretches of the best schedule exactly after each annealing on from it.",
    "adaptive-weight": "Let the weight of bytes over the budget follow how often the search is within it.",
}
"""Name -> what it does; every switch is on by default."""
