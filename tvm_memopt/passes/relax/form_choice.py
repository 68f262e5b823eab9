"""Choose the form of each kernel: the fastest one that fits a given memory level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tvm_memopt.graph import Plan
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.inplace import Pairs
from tvm_memopt.passes.tir.form_times import FormTimes
from tvm_memopt.passes.tir.statements import nbytes_of

FREE = 1.02
"""Default limit on the predicted run time of a plan, as a multiple of that of TVM's own loops."""


def predicted_ratio(extraction: Extraction, plan: Plan, chosen: Mapping[str, str], times: FormTimes) -> float:
    """Predicted run time of ``plan`` divided by that of the same calls in TVM's own loops.

    ``chosen``: the form of each kernel that has several.
    """
    base = total = 0.0
    for op_id in plan.schedule:
        seconds, name = extraction.graph.ops[op_id].cost, extraction.operations[op_id].callee
        base += seconds
        total += seconds * (1.0 if name is None or name not in chosen else times.ratio(name, chosen[name]))
    return total / base if base else 1.0


def forms_at(level: int, needs: Mapping[str, Mapping[str, int]], times: FormTimes) -> dict[str, str]:
    """The fastest form of each kernel that needs at most ``level`` bytes, or the smallest form if none does."""
    chosen = {}
    for name, need in needs.items():
        fitting = [form for form in need if need[form] <= level]
        if not fitting:
            chosen[name] = min(need, key=lambda form: need[form])
        elif "fast" in fitting and not times.forms[name].residues:
            chosen[name] = "fast"  # no need to measure the others
        else:
            chosen[name] = times.fastest_first(name, fitting)[0]
    return chosen


def least_free_forms(
    extraction: Extraction, plan: Plan, needs: Mapping[str, Mapping[str, int]], times: FormTimes, limit: float = FREE
) -> dict[str, str]:
    """Forms at the lowest level of memory at which the predicted run time is within ``limit`` of TVM's own loops."""
    levels = sorted({plan.peak_live_nbytes, *(n for need in needs.values() for n in need.values())})
    levels = [level for level in levels if level >= plan.peak_live_nbytes]
    low, high = 0, len(levels) - 1  # run time falls as the level rises; at the highest, every kernel is at its fastest
    while low < high:
        middle = (low + high) // 2
        if predicted_ratio(extraction, plan, forms_at(levels[middle], needs, times), times) <= limit:
            high = middle
        else:
            low = middle + 1
    return forms_at(levels[low], needs, times)


def form_needs(
    extraction: Extraction, plan: Plan, inplace: Sequence[Pairs], times: FormTimes
) -> dict[str, dict[str, int]]:
    """Most bytes live at any step of each kernel with several forms, by kernel and form.

    ``inplace``: by step, the pairs of parameters that share memory. A form that cannot share them needs both.
    """
    held = _held_at_each_step(plan)
    needs: dict[str, dict[str, int]] = {}
    for step, op_id in enumerate(plan.schedule):
        name = extraction.operations[op_id].callee
        if name is None or not times.forms[name].several:
            continue
        need = needs.setdefault(name, {})
        for form, kernel in times.forms[name].named.items():
            apart = {pair[1] for pair in inplace[step] if not kernel.allows(pair)}
            extra = sum(nbytes_of(kernel.func.params[target]) or 0 for target in apart)
            need[form] = max(need.get(form, 0), held[step] + kernel.workspace_nbytes + extra)
    return needs


def _held_at_each_step(plan: Plan) -> list[int]:
    """Bytes of the arena that tensors occupy at each step. Bytes that two tensors share in place count once."""
    held = [0] * len(plan.schedule)
    ranges: list[list[tuple[int, int]]] = [[] for _ in plan.schedule]
    for allocation in plan.allocations:
        if allocation.tensor is not None and allocation.nbytes:
            for step in range(allocation.first, allocation.last + 1):
                ranges[step].append((allocation.offset, allocation.end))
    for step, found in enumerate(ranges):
        top = 0
        for low, high in sorted(found):
            held[step] += max(0, high - max(low, top))
            top = max(top, high)
    return held


def forms_of_plan(extraction: Extraction, plan: Plan, times: FormTimes) -> dict[str, str]:
    """The form of each kernel that ``plan`` was made for, identified by the workspace in the plan."""
    workspaces = {a.first: a.nbytes for a in plan.allocations if a.tensor is None}
    chosen = {}
    for step, op_id in enumerate(plan.schedule):
        name = extraction.operations[op_id].callee if op_id < len(extraction.operations) else None
        if name is not None and name not in chosen and times.forms[name].several:
            forms, held = times.forms[name].named, workspaces.get(step, 0)
            fitting = [form for form, kernel in forms.items() if kernel.workspace_nbytes == held]
            chosen[name] = fitting[-1] if fitting else times.forms[name].smallest
    return chosen
