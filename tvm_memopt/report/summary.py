"""One-line summary of a plan, and its main figures."""

from __future__ import annotations

from tvm_memopt.report.timeline import Timeline
from tvm_memopt.report.units import change, exact_bytes, percent, seconds_text


def summary_line(timeline: Timeline) -> str:
    """Peak before → after, arena, lower bound, gap, extra compute, seconds and method, on one line."""
    plan, before = timeline.plan, timeline.given_peak_nbytes
    after = plan.peak_live_nbytes
    parts = [
        f"peak {exact_bytes(before)} → {exact_bytes(after)}{_bracket(change(before, after))}",
        f"arena {exact_bytes(plan.arena_nbytes)}",
        bound_text(timeline),
        f"extra compute {percent(extra_compute(timeline))}",
    ]
    if plan.budget_nbytes is not None:
        parts.append(f"budget {exact_bytes(plan.budget_nbytes)}")
    seconds = plan.solver.get("seconds")
    if isinstance(seconds, int | float):
        parts.append(seconds_text(float(seconds)))
    return ", ".join([*parts, f"{plan.status} by {method(timeline)}"])


def bound_text(timeline: Timeline) -> str:
    """The lower bound, and the gap from it to the arena."""
    bound, gap = timeline.plan.lower_bound_nbytes, timeline.plan.gap_nbytes
    if bound is None or gap is None:
        return "no lower bound"
    return f"lower bound {exact_bytes(bound)}, gap {gap} B{_bracket(percent(gap / bound) if bound else '')}"


def extra_compute(timeline: Timeline) -> float:
    """Cost of repeated ops as a fraction of the cost with every op once."""
    plan = timeline.plan
    return (plan.cost - plan.base_cost) / plan.base_cost if plan.base_cost else 0.0


def repeated_steps(timeline: Timeline) -> int:
    """Number of steps that run an op again."""
    return sum(step.run > 0 for step in timeline.steps)


def moved_steps(timeline: Timeline) -> int:
    """Number of ops moved from their place in the given order."""
    return sum(step.moved for step in timeline.steps)


def method(timeline: Timeline) -> str:
    """Name of the method that found the plan."""
    return str(timeline.plan.solver.get("name", "an unnamed solver"))


def _bracket(text: str) -> str:
    return f" ({text})" if text else ""
