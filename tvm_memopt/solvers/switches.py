"""Search techniques that ``Request.disabled`` can turn off, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

from tvm_memopt.solvers.layout.exact_switches import LAYOUT_SWITCHES
from tvm_memopt.solvers.order.order_switches import ORDER_SWITCHES
from tvm_memopt.solvers.remat.remat_switches import REMAT_SWITCHES

SWITCHES: Mapping[str, str] = {
    "constructive": "Try the classical orders (Kahn, depth-first, greedy) besides the given one.",
    "beam": "On small graphs, and without the search in C++: beams over executed sets.",
    "safe-moves": "In those beams, immediately run an op that fits the target and does not increase the live bytes.",
    "best-fit": "In greedy placement, try the tightest gap as well as the lowest.",
    "peak-first": "With more than 1000 buffers, place those live near the peak first, exactly, and the others around.",
    "inplace": "Let an output use the address of the input that dies in the same op.",
    "boosting": "Repeat greedy placement, placing buffers that end too high earlier, until that stops helping.",
    "topoformer": "On graphs of 1000 ops and more, start the search in C++ from a learned order too.",
    "native": "Search orders and addresses in C++.",
    "cp-sat": "Close the gap that greedy placement leaves by exact search.",
    "joint": "If a gap is left on a small graph, search order and addresses in one model.",
    "remat": "If every order misses the budget, recompute ops.",
    "exact-remat": "On small graphs, prove the least cost of recomputation, or that no schedule is within the budget.",
    **ORDER_SWITCHES,
    **REMAT_SWITCHES,
    **LAYOUT_SWITCHES,
}
"""Name -> what it does; every switch is on by default. "decompose" also applies to CP-SAT."""
