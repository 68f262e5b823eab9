"""Techniques of search_order that ``disabled`` can turn off, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

ORDER_SWITCHES: Mapping[str, str] = {
    "constructive-orders": "Start from the best of Kahn, depth-first, greedy from both ends, and random orders.",
    "cut-points": "Solve segments independently between steps before which every order has run the same ops.",
    "step-bounds": "Bound each step from below by a minimum cut over the sets that can precede its op.",
    "exact-order": "Decide budgets by depth-first search over executed sets, stored in full.",
    "safe-ops": "In that search, immediately run an op that fits and does not increase the live bytes.",
    "valleys": "In that search, never backtrack past a set that holds no more than any set on the way to it.",
    "both-ends": "Search from the end as well, and cut off the part that either end settles.",
    "forcing": "Under a budget, add every precedence that a minimum cut shows to be forced.",
    "branching": "If forcing leaves a budget undecided, try both orders of a pair of ops, the most blamed pair first.",
    "annealing": "Anneal the order, with its memory over time stored in a tree.",
    "smooth-peak": "While annealing, weigh all steps near the peak instead of the peak alone.",
    "block-moves": "While annealing, let an op push the neighbour that blocks it.",
}
"""Name -> what it does; every switch is on by default."""
