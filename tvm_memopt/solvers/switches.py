"""The search tricks that ``Request.disabled`` can turn off, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

from tvm_memopt.solvers.layout.exact_switches import LAYOUT_SWITCHES
from tvm_memopt.solvers.order.order_switches import ORDER_SWITCHES
from tvm_memopt.solvers.remat.remat_switches import REMAT_SWITCHES

SWITCHES: Mapping[str, str] = {
    "constructive": "Try the classical orders (Kahn, depth first, greedy) beside the given one.",
    "beam": "Where the search in C++ was not built: beams of growing width over executed sets.",
    "safe-moves": "In those beams, run at once an op that fits the target and does not raise what is live.",
    "best-fit": "In greedy placement, try the tightest gap as well as the lowest.",
    "peak-first": "Of more than 1000 buffers, place those held near the peak first, exactly, and the others around.",
    "inplace": "Let an output lie on the input that dies in the same op.",
    "boosting": "Repeat greedy placement, moving up what ended too high, until that stops helping.",
    "topoformer": "On graphs of 1000 ops and more, start the search in C++ from a learned order too.",
    "native": "Search orders and addresses in C++, where it was built.",
    "cp-sat": "Close the gap that greedy placement leaves by exact search.",
    "joint": "Where a gap is left on a small graph, search order and addresses in one model.",
    "remat": "Where a budget is missed by every order, run ops again.",
    "exact-remat": "On small graphs, prove what recomputation costs at least, or that no schedule keeps the budget.",
    **ORDER_SWITCHES,
    **REMAT_SWITCHES,
    **LAYOUT_SWITCHES,
}
"""Name -> what it does; every switch is on by default. "decompose" holds for CP-SAT too."""
