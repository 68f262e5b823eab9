"""Plans for a device: whether they fit its memory, and a second search for one that does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tvm_memopt.graph import Graph, Plan, io_nbytes, weight_nbytes
from tvm_memopt.solvers.portfolio.verdict import budget_message
from tvm_memopt.solvers.request import Request
from tvm_memopt.targets import DeviceProfile, Fit


def fit_of(device: DeviceProfile, graph: Graph, plan: Plan) -> Fit:
    """Whether the arena of ``plan``, the inputs, outputs and weights fit into the device's memory."""
    return device.fit(plan.arena_nbytes, io_nbytes(graph), weight_nbytes(graph))


def arena_limit(device: DeviceProfile, graph: Graph) -> int:
    """Bytes that the device has left for the arena. Not positive if there are none."""
    return device.arena_limit(io_nbytes(graph), weight_nbytes(graph))


def worth_a_search(device: DeviceProfile, graph: Graph, plan: Plan) -> bool:
    """Whether a search with the device's memory as the budget may help: RAM is short, and some is left for an arena."""
    return fit_of(device, graph, plan).excess_nbytes > 0 and arena_limit(device, graph) > 0


def plan_for_device(
    graph: Graph, request: Request, device: DeviceProfile, solver: Callable[[Graph, Request], Plan]
) -> Plan:
    """Search the smallest arena, and if it does not fit, a plan within the device's memory that repeats ops.

    A budget in ``request`` is kept instead. The plan that fits is returned, else the first; ``noted`` says which.
    """
    plan = solver(graph, request)
    if request.budget_nbytes is not None:
        return noted(device, graph, plan)
    if not worth_a_search(device, graph, plan):
        return noted(device, graph, plan, searched=plan)
    limit = arena_limit(device, graph)
    second = solver(graph, replace(request, budget_nbytes=limit, start_schedules=(plan.schedule,)))
    return noted(device, graph, second if _fits(device, graph, second) else plan, searched=second)


def _fits(device: DeviceProfile, graph: Graph, plan: Plan) -> bool:
    return plan.status in ("optimal", "feasible") and not fit_of(device, graph, plan).excess_nbytes


def noted(
    device: DeviceProfile, graph: Graph, plan: Plan, searched: Plan | None = None, *, beside: Graph | None = None
) -> Plan:
    """``plan`` with a note that it fits or by how much it does not, and the figures under ``solver["device"]``.

    ``searched``: the last plan of a search for one that fits. Its status says whether it is proved that none does.
    ``beside``: the graph whose tensors outside the arena count, if it is another than ``graph``.
    """
    fit = fit_of(device, beside or graph, plan)
    found: dict[str, Any] = dict(fit.document())
    notes = [fit.text]
    if searched is not None and not fit.fits:
        found["status"], reason = _reason(device, graph, fit, searched)
        found["reason"] = f"{fit.verdict}: {reason}"
        notes.append(str(found["reason"]))
    return replace(plan, notes=(*plan.notes, *notes), solver={**plan.solver, "device": found})


def _reason(device: DeviceProfile, graph: Graph, fit: Fit, searched: Plan) -> tuple[str, str]:
    """Status "infeasible" or "unknown", and why nothing fits."""
    if fit.excess_nbytes and arena_limit(device, graph) > 0:
        status = "infeasible" if searched.status == "infeasible" else "unknown"
        return status, budget_message(graph, searched)
    if fit.excess_nbytes:
        return "infeasible", "the tensors outside the arena leave no RAM for it"
    return "infeasible", "the weights alone need more flash than the device has"
