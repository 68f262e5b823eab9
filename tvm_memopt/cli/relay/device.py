"""Relay builds for a device: whether they fit its memory, and a second build within it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tvm_memopt.errors import BudgetError, InfeasibleBudgetError
from tvm_memopt.graph import Graph, Plan, PlanStatus, Tensor
from tvm_memopt.passes.device_fit import arena_limit, noted, worth_a_search

if TYPE_CHECKING:
    from tvm_memopt.passes.relay.build import RelayBuild
    from tvm_memopt.targets import DeviceProfile


def build_for_device(
    device: DeviceProfile | None, build: Callable[[str | None], RelayBuild], *, search: bool
) -> RelayBuild:
    """The build of ``build(None)`` with a note whether it fits ``device``.

    ``search``: if it does not fit, build once more, with what the device has left for the arena as the budget.
    """
    found = build(None)
    if device is None or found.planned is None:
        return found
    if not search:
        return _noted(device, found, None)
    graph, searched = _with_constants(found), _as_stored(found)
    if worth_a_search(device, graph, searched):
        limit = arena_limit(device, graph)
        try:
            second = build(str(limit))
        except BudgetError as error:
            status: PlanStatus = "infeasible" if isinstance(error, InfeasibleBudgetError) else "unknown"
            searched = replace(searched, budget_nbytes=limit, status=status)
        else:
            found = second if second.planned is not None else found
    return _noted(device, found, searched)


def _as_stored(build: RelayBuild) -> Plan:
    """The plan with the memory that the build needs: the graph executor's storages may be more than its peak."""
    assert build.planned is not None
    plan = build.planned.plan
    return plan if build.storage is None else replace(plan, arena_nbytes=build.storage.nbytes)


def _with_constants(build: RelayBuild) -> Graph:
    """The graph of the calls, with the constants that the ahead-of-time executor links into kernels as a weight."""
    from tvm_memopt.passes.relay.module_file import memory_of

    assert build.planned is not None
    graph: Graph = build.planned.extraction.graph
    constants = Tensor("constants", memory_of(build).get("global_const_workspace", 0), "weight", arena=False)
    return replace(graph, tensors=(*graph.tensors, constants)) if build.executor == "aot" else graph


def _noted(device: DeviceProfile, build: RelayBuild, searched: Plan | None) -> RelayBuild:
    assert build.planned is not None
    beside = _with_constants(build)
    told = noted(device, build.planned.graph, replace(_as_stored(build), notes=()), searched, beside=beside)
    plan = replace(build.planned.plan, solver=told.solver, notes=(*build.planned.plan.notes, *told.notes))
    return replace(build, planned=replace(build.planned, plan=plan), notes=(*build.notes, *told.notes))
