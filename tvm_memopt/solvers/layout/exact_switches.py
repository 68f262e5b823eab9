"""Techniques of the exact placement that ``disabled`` can turn off, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

LAYOUT_SWITCHES: Mapping[str, str] = {
    "inference": "Raise each section's floor to the lowest offset that any of its buffers can still take.",
    "support": "Place a buffer only on the ground or on top of another: all others can be pushed down.",
    "decompose": "Search periods of time independently once no unplaced buffer crosses from one to the next.",
    "memory": "Remember failed states, so that none is searched twice.",
    "fail-first": "Branch on the section with the fewest buffers that can lie on its floor.",
    "tightness": "Among those, prefer the section with the fewest bytes of slack.",
    "twins": "Of unplaced buffers with equal lifetime and size, try only one.",
    "levels": "Raise a section left empty to the next reachable top, instead of by one unit.",
    "restarts": "Restart after a number of nodes, with another branching order.",
    "ladder": "Search for the bound, the middle of the gap and just below the incumbent in turns.",
    "greedy": "Start from the best of the greedy placements.",
}
"""Name -> what it does, in the order of the bits in native/layout/switches.h; all on by default."""
