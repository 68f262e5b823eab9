"""The tricks of the exact placement that ``disabled`` can turn off, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

LAYOUT_SWITCHES: Mapping[str, str] = {
    "inference": "Raise each section's floor to the lowest offset that any of its buffers can still take.",
    "support": "Place a buffer only on top of another or on the ground: others can be pushed down.",
    "decompose": "Search stretches of time apart once no unplaced buffer crosses between them.",
    "memory": "Remember failed states and do not search one twice.",
    "fail-first": "Branch on the section with the fewest buffers that can lie on its floor.",
    "tightness": "Among those, prefer the section with the fewest bytes to waste.",
    "twins": "Of unplaced buffers with equal life and size, try only one.",
    "levels": "A section left empty is raised to the next top that can be reached, not by one unit.",
    "restarts": "Stop after a number of nodes and start again with another order of choice.",
    "ladder": "Ask for the bound, the middle and just below the incumbent in turns.",
    "greedy": "Begin with the best of the greedy placements.",
}
"""Name -> what it does, in the order of the bits in native/layout_switches.h; all on by default."""
