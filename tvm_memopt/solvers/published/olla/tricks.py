"""What OLLA does to make its programme small, one sentence each, for ``disabled``."""

from __future__ import annotations

from collections.abc import Mapping

OLLA_SWITCHES: Mapping[str, str] = {
    "windows": "Give an op only the steps that its ancestors and descendants leave it (ASAP to ALAP).",
    "must-preserve": "Fix as held what every order holds, between the latest creation and the earliest last read.",
    "disjoint-lives": "Leave out the address choice of two pieces of which one surely ends before the other begins.",
    "single-bit": "Give two pieces that surely meet one bit, which of them lies above, in place of two.",
    "common-divisor": "Count bytes in the largest unit that divides all sizes.",
    "load-rows": "In the joint programme, bound the arena by what is held at each step as well.",
    "pyramid": "With the order known, first stack nested lives, longest below, and look for the others around them.",
    "hints": "Begin at the plan that is known.",
}
"""Name -> what it does; every switch is on by default."""
