"""Plan a function together with the form of each of its kernels.

The function is first planned with its kernels in their smallest form. Without a budget, the plan must not cost run
time: if it is predicted to, kernels get faster forms at the lowest memory level that avoids the cost, and the
function is planned again. With a budget, the plan of least predicted run time within it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tvm_memopt.graph import Graph, Plan, check
from tvm_memopt.passes.relax.extract import Extraction, extract_program
from tvm_memopt.passes.relax.form_choice import (
    FREE,
    form_needs,
    forms_at,
    forms_of_plan,
    least_free_forms,
    predicted_ratio,
)
from tvm_memopt.passes.relax.inplace import Pairs, inplace_pairs, with_overlaps
from tvm_memopt.passes.relax.unfold import Unfolded, unfold_kernels
from tvm_memopt.passes.tir.form_times import FormTimes
from tvm_memopt.passes.tir.statements import nbytes_of
from tvm_memopt.solvers import Deadline, Request

Search = Callable[[Graph, Request], Plan]
_SHARE = 0.6  # of the remaining time, for each plan but the last
_LEAST_SHARE = 0.01  # of the time limit, for each plan: placing an initial schedule takes far less
_MOST_PLANS = 4


@dataclass(frozen=True)
class FormedPlan:
    """A plan, its extraction, and the form in which each kernel runs.

    ``inplace``: by step, the pairs of parameters that share an offset. ``unfolded``: kernels that run in a faster form
    than the one they were planned in. ``ratio``: predicted run time divided by that of the same calls in TVM's own
    loops. ``overlap_prices``: by kernel and overlapping parameters, its run time divided by that with them apart.
    """

    extraction: Extraction
    plan: Plan
    inplace: tuple[Pairs, ...]
    unfolded: Mapping[str, Unfolded]
    forms: Mapping[str, str]
    ratio: float
    overlap_prices: Mapping[tuple[str, Pairs], float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Predicted seconds of a call."""
        return self.plan.cost * self.ratio


def as_planned(extraction: Extraction, plan: Plan) -> FormedPlan:
    """``plan`` with each kernel in the form that it was planned in."""
    return FormedPlan(extraction, plan, inplace_pairs(extraction, plan), {}, {}, 1.0)


@dataclass(frozen=True)
class _Planner:
    extraction: Extraction
    times: FormTimes
    search: Search
    request: Request
    deadline: Deadline
    inplace: bool

    def plan(self, forms: Mapping[str, str], start: Plan | None = None, share: float = 1.0) -> FormedPlan:
        """Plan the function with its kernels in ``forms``. Skips the search if ``start`` was interrupted."""
        extraction, interrupted = self.with_forms(forms), start is not None and _interrupted(start)
        limit = max(0.0 if interrupted else self.deadline.remaining * share, _LEAST_SHARE * self.request.time_limit)
        starts = self.request.start_schedules if start is None else (start.schedule,)
        plan = self.search(extraction.graph, replace(self.request, time_limit=limit, start_schedules=starts))
        if interrupted:
            plan = replace(plan, solver={**plan.solver, "interrupted": True})
        return self.formed(extraction, plan, forms)

    def with_forms(self, forms: Mapping[str, str]) -> Extraction:
        """The extraction with the workspaces of the kernels in ``forms``."""
        found = {name: self.times.forms[name].form(form) for name, form in forms.items()}
        kernels = {**self.extraction.kernels, **{name: kernel for name, kernel in found.items() if kernel is not None}}
        operations, ops = self.extraction.operations, self.extraction.graph.ops
        costs = {operation.callee: op.cost for operation, op in zip(operations, ops, strict=False) if operation.callee}
        formed = extract_program(
            self.extraction.program,
            kernels,
            costs,
            inplace=self.inplace,
            branches=self.extraction.branches,
            branch_nbytes=self.extraction.branch_nbytes,
            io_in_arena=self.extraction.io_in_arena,
        )
        return with_overlaps(formed, self.extraction.overlapping)

    def formed(self, extraction: Extraction, plan: Plan, forms: Mapping[str, str]) -> FormedPlan:
        """Give kernels faster forms where the arena of ``plan`` has room for them."""
        inplace = inplace_pairs(extraction, plan)
        unfolded = unfold_kernels(extraction, plan, inplace, self.times, forms)
        final = {**forms, **{name: found.form for name, found in unfolded.items()}}
        ratio = predicted_ratio(extraction, plan, final, self.times)
        return FormedPlan(extraction, plan, inplace, unfolded, final, ratio)


def plan_with_forms(
    extraction: Extraction,
    times: FormTimes,
    search: Search,
    request: Request,
    *,
    inplace: bool,
    free_splits: bool = False,
) -> FormedPlan:
    """Plan ``extraction``, whose kernels are in their smallest form, and choose the form of each kernel.

    ``free_splits``: with a budget too, split only kernels that this is predicted to cost no run time.
    """
    if free_splits and request.budget_nbytes is not None:
        times = times.without_costly_splits(FREE)
    planner = _Planner(extraction, times, search, request, Deadline(request.time_limit), inplace)
    smallest = _smallest_forms(extraction, times)
    if not smallest:
        return as_planned(extraction, search(extraction.graph, request))
    first = planner.plan(smallest, share=_SHARE)
    if first.plan.status not in ("optimal", "feasible"):
        return first
    return _free(planner, first) if request.budget_nbytes is None else _within(planner, first, request.budget_nbytes)


def plan_in_smallest_forms(
    extraction: Extraction, times: FormTimes, search: Search, request: Request, *, inplace: bool
) -> FormedPlan:
    """Plan ``extraction`` for the least memory, regardless of the run time of its kernels."""
    planner = _Planner(extraction, times, search, request, Deadline(request.time_limit), inplace)
    return planner.plan(_smallest_forms(extraction, times))


def _smallest_forms(extraction: Extraction, times: FormTimes) -> dict[str, str]:
    called = {operation.callee for operation in extraction.operations if operation.callee}
    return {name: times.forms[name].smallest for name in sorted(called) if times.forms[name].several}


def follow_plan(extraction: Extraction, plan: Plan, times: FormTimes, *, inplace: bool) -> FormedPlan:
    """Follow a given plan, with each kernel in the form whose workspace the plan has. Raises PlanError."""
    planner = _Planner(extraction, times, lambda _graph, _request: plan, Request(), Deadline(1.0), inplace)
    forms = forms_of_plan(extraction, plan, times)
    formed = planner.with_forms(forms)
    check(formed.graph, plan)
    return planner.formed(formed, plan, forms)


def _free(planner: _Planner, found: FormedPlan) -> FormedPlan:
    """A plan that is predicted to cost no run time."""
    limit = FREE
    for _ in range(_MOST_PLANS):
        if found.ratio <= FREE:
            return found
        needs = form_needs(found.extraction, found.plan, found.inplace, planner.times)
        forms = least_free_forms(found.extraction, found.plan, needs, planner.times, limit)
        found = planner.plan(forms, found.plan, share=_SHARE)
        limit *= min(1.0, FREE / found.ratio)  # the forms fit the memory level but not the layout
    if found.ratio <= FREE:
        return found
    return planner.plan(dict.fromkeys(found.forms, "fast"), found.plan)


def _within(planner: _Planner, found: FormedPlan, budget: int) -> FormedPlan:
    """The plan of least predicted run time within ``budget``. Kernel forms and recomputation compete in seconds."""
    if _interrupted(found.plan):
        return found
    needs = form_needs(found.extraction, found.plan, found.inplace, planner.times)
    forms = forms_at(budget, needs, planner.times)
    if all(form == found.forms[name] for name, form in forms.items()):
        return found
    other = planner.plan(forms, found.plan)
    feasible = other.plan.status in ("optimal", "feasible")
    return other if feasible and other.seconds < found.seconds else found


def _interrupted(plan: Plan) -> bool:
    return bool(plan.solver.get("interrupted"))


_HOW = {
    "split": "runs its stages band by band",
    "rows": "pads a few rows at a time",
    "small": "has padding and other copies folded into its loops",
    "small_split": "runs its stages band by band, with padding and other copies folded into its loops",
}


def form_notes(found: FormedPlan, times: FormTimes) -> list[str]:
    """Notes on the memory saved and the time lost by each kernel that does not run in its usual loops."""
    return [_form_note(found, times, name, form) for name, form in found.forms.items() if form != "fast"]


def _form_note(found: FormedPlan, times: FormTimes, name: str, form: str) -> str:
    kernel, fast = times.forms[name].named[form], times.forms[name].fast
    saved = fast.scratch_nbytes - kernel.scratch_nbytes
    parts = [f"{saved} bytes less scratch"] if saved > 0 else []
    callees = (found.extraction.operations[op_id].callee for op_id in found.plan.schedule)
    pairs = {pair for callee, shared in zip(callees, found.inplace, strict=False) if callee == name for pair in shared}
    gained = {pair[1] for pair in pairs if not fast.allows(pair)}
    parts += [f"an output of {nbytes_of(kernel.func.params[target])} bytes takes an input's place" for target in gained]
    known = times.known.get((name, form))
    parts += [] if known is None else [f"{known:.2f} of its time in {times.loops}"]
    return f"kernel {name} {_HOW[form]}: {', '.join(parts) or 'no bytes less'}"
