"""The search tricks that ``Request.disabled`` can turn off, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

SWITCHES: Mapping[str, str] = {
    "constructive": "Try the classical orders (Kahn, depth first, greedy) beside the given one.",
    "beam": "Search the executed sets with beams of growing width for orders with a smaller peak.",
    "safe-moves": "In that search, run at once an op that fits the target and does not raise what is live.",
    "best-fit": "In greedy placement, try the tightest gap as well as the lowest.",
    "inplace": "Let an output lie on the input that dies in the same op.",
    "boosting": "Repeat greedy placement, moving up what ended too high, until that stops helping.",
    "native": "Close the gap that greedy placement leaves by the exact search in C++, where it was built.",
    "cp-sat": "Close the gap that greedy placement leaves by exact search.",
    "decompose": "In exact placement, solve stretches of time that no buffer crosses one by one.",
}
"""Name -> what it does; every switch is on by default."""
