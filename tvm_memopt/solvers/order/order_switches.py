"""The tricks of search_order that ``disabled`` can turn off, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

ORDER_SWITCHES: Mapping[str, str] = {
    "constructive-orders": "Start from the best of Kahn, depth first, greedy from both ends, and random orders.",
    "cut-points": "Solve apart what lies between steps before which every order has run the same ops.",
    "step-bounds": "Bound each step from below by a minimum cut over the sets that can come before its op.",
    "exact-order": "Decide budgets by depth-first search over executed sets, kept in full.",
    "safe-ops": "In that search, run at once an op that fits and leaves no more live bytes than it found.",
    "valleys": "In that search, never look back from a set that holds no more than any set on the way to it.",
    "both-ends": "Search from the end as well, and cut off what either end settles.",
    "forcing": "Under a budget, add every precedence that a minimum cut shows to be forced.",
    "branching": "Where forcing leaves a budget open, try both orders of a pair of ops, the most blamed pair first.",
    "annealing": "Anneal the order with its memory over time in a tree.",
    "smooth-peak": "While annealing, weigh all steps near the peak instead of the peak alone.",
    "block-moves": "While annealing, let an op push on the neighbour that holds it back.",
}
"""Name -> what it does; every switch is on by default."""
