"""Plans as a line of text or as JSON."""

from __future__ import annotations

from tvm_memopt.cli.console import note
from tvm_memopt.graph import Graph, Plan


def note_interrupted(plan: Plan) -> None:
    """Note on stderr if Ctrl-C ended the search."""
    if plan.solver.get("interrupted"):
        note("interrupted: this is the best plan so far")


def plan_summary(graph: Graph, plan: Plan) -> dict[str, object]:
    """Figures of a plan, for JSON output."""
    keys = (
        "arena_nbytes", "peak_live_nbytes", "lower_bound_nbytes", "budget_nbytes", "cost", "base_cost", "status",
    )  # fmt: skip
    figures = {key: getattr(plan, key) for key in keys}
    return {"graph": graph.name, "steps": len(plan.schedule), **figures, "solver": dict(plan.solver)}


def plan_text(plan: Plan, what: str = "arena") -> str:
    """Figures of a plan as one line of text. ``what``: the name of its size."""
    bound = plan.lower_bound_nbytes
    gap = (
        ""
        if bound is None
        else f", bound {bound:,}" + ("" if bound == plan.arena_nbytes else f" (gap {plan.gap_nbytes:,})")
    )
    given = plan.solver.get("given_order_peak_nbytes")
    before = f" (given order's peak {given:,})" if given is not None else ""
    asked = f", budget {plan.budget_nbytes:,}" if plan.budget_nbytes is not None else ""
    repeats = plan.cost > plan.base_cost
    again = f", {100 * (plan.cost / plan.base_cost - 1):.2f} % extra time" if repeats and plan.base_cost else ""
    seconds = plan.solver.get("seconds")
    took = f", {seconds:.2f} s" if isinstance(seconds, float) else ""
    return f"{what} {plan.arena_nbytes:,} bytes{before}{gap}{asked}{again}, {plan.status}{took}"
