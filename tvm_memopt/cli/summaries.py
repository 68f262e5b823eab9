"""Plans as a line of text or as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from tvm_memopt.cli.console import note, print_notes
from tvm_memopt.errors import InfeasibleBudgetError, NoPlanError
from tvm_memopt.graph import Graph, Plan


def note_interrupted(plan: Plan) -> None:
    """Note on stderr if Ctrl-C ended the search."""
    if plan.solver.get("interrupted"):
        note("interrupted: this is the best plan so far")


def io_lines(places: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One line for each kind of tensor in the arena, with the offset of each."""
    shown = {kind: ", ".join(f"{name} {offset}" for name, offset in found.items()) for kind, found in places.items()}
    return [f"offsets of {kind} in the arena: {text}" for kind, text in shown.items() if text]


def device_lines(plan: Plan) -> list[str]:
    """Whether the plan fits the device it was made for, as a line of text; empty without a device."""
    device = plan.solver.get("device")
    return [] if device is None else [str(device["text"])]


def print_plan_notes(plan: Plan) -> None:
    """Print the notes of a plan on stderr, without those on its device, which are part of the result."""
    device = plan.solver.get("device") or {}
    print_notes(note for note in plan.notes if note not in (device.get("text"), device.get("reason")))


def raise_for_device(plan: Plan) -> None:
    """Raise InfeasibleBudgetError or NoPlanError if nothing was found that fits the device."""
    device = plan.solver.get("device") or {}
    if device.get("status") == "infeasible":
        raise InfeasibleBudgetError(str(device["reason"]))
    if device.get("status") == "unknown":
        raise NoPlanError(str(device["reason"]))


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
