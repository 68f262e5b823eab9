"""Techniques by which OLLA keeps its programme small, one sentence each, for ``disabled``."""

from __future__ import annotations

from collections.abc import Mapping

OLLA_SWITCHES: Mapping[str, str] = {
    "windows": "Give an op only the steps that its ancestors and descendants leave it (ASAP to ALAP).",
    "must-preserve": "Fix pieces as live where every order has them live: from latest creation to earliest last read.",
    "disjoint-lives": "Leave out the address choice of two pieces if one always dies before the other becomes live.",
    "single-bit": "For two pieces that always overlap in time, use one bit for which lies above, instead of two.",
    "common-divisor": "Count bytes in the largest unit that divides all sizes.",
    "load-rows": "In the joint programme, also bound the arena by the live bytes at each step.",
    "pyramid": "With the order known, first stack nested lifetimes, longest lowest, then place the others around them.",
    "hints": "Start from the known plan.",
}
"""Name -> what it does; every switch is on by default."""
