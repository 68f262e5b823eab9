"""Plan a function with outputs that overlap dying inputs, where that is free or a budget requires it.

A function is first planned without. If outputs that begin inside dying inputs could lower the arena, it is planned
again with them. Without a budget the plan must still cost no run time: kernels that become slower with both buffers
behind one base pointer are left out, and the function is planned once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from tvm_memopt.graph import working_set_bound
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.form_choice import FREE
from tvm_memopt.passes.relax.inplace import Pairs, called_kernels, with_overlaps
from tvm_memopt.passes.relax.plan_forms import FormedPlan
from tvm_memopt.passes.tir.form_times import FormTimes
from tvm_memopt.solvers import Deadline, Request

PlanOf = Callable[[Extraction, Request], FormedPlan]
_FIRST_SHARE = 0.4  # of the time limit, for the plan without overlaps
_LEAST_SHARE = 0.1  # for each plan with them
_MOST_PLANS = 3


def plan_with_overlaps(extraction: Extraction, times: FormTimes, plan: PlanOf, request: Request) -> FormedPlan:
    """Plan ``extraction``, with overlaps if they lower the arena.

    ``plan``: plans an extraction with its kernel forms.
    """
    names = set(called_kernels(extraction))
    overlapping = with_overlaps(extraction, names)
    least = working_set_bound(overlapping.graph)[0]
    if least >= working_set_bound(extraction.graph)[0]:
        return plan(extraction, request)
    deadline = Deadline(request.time_limit)
    best = plan(extraction, replace(request, time_limit=_FIRST_SHARE * request.time_limit))
    limit = FREE if request.budget_nbytes is None else math.inf
    for _ in range(_MOST_PLANS):
        enough = request.budget_nbytes is not None and best.plan.arena_nbytes <= request.budget_nbytes
        if not names or best.plan.solver.get("interrupted") or enough or best.plan.arena_nbytes <= least:
            break
        share = replace(request, time_limit=max(deadline.remaining, _LEAST_SHARE * request.time_limit))
        found = plan(with_overlaps(extraction, names), share)
        prices = _prices(found, times)
        ratio = _ratio(found, prices)
        if ratio <= max(limit, best.ratio):
            better = found.plan.arena_nbytes < best.plan.arena_nbytes
            return replace(found, ratio=ratio, overlap_prices=prices) if better else best
        names -= {name for (name, _), price in prices.items() if price > FREE}
    return best


def _prices(found: FormedPlan, times: FormTimes) -> dict[tuple[str, Pairs], float]:
    """For each kernel and its overlapping parameters: its run time divided by that with all of them apart."""
    prices: dict[tuple[str, Pairs], float] = {}
    for step, op_id in enumerate(found.plan.schedule):
        name, pairs = found.extraction.operations[op_id].callee, found.inplace[step]
        if name is not None and any(len(pair) == 3 for pair in pairs) and (name, pairs) not in prices:
            prices[name, pairs] = times.overlap_ratio(name, found.forms.get(name, "fast"), pairs)
    return prices


def _ratio(found: FormedPlan, prices: Mapping[tuple[str, Pairs], float]) -> float:
    """Predicted run time divided by that of the same calls in TVM's own loops."""
    base = added = 0.0
    for step, op_id in enumerate(found.plan.schedule):
        seconds, name = found.extraction.graph.ops[op_id].cost, found.extraction.operations[op_id].callee
        base += seconds
        added += seconds * (prices.get((name or "", found.inplace[step]), 1.0) - 1.0)
    return found.ratio + (added / base if base else 0.0)


def overlap_notes(found: FormedPlan) -> list[str]:
    """A note on each kernel whose output overlaps an input, with the time that this is predicted to take."""
    return [
        f"kernel {name} writes its output into an input that it still reads: {price:.2f} of its time with both apart"
        for (name, _), price in sorted(found.overlap_prices.items(), key=lambda entry: entry[0][0])
    ]
