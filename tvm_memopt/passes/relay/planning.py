"""Plan one fused Relay function: extract its graph, search, compare orders as TVM's memory planner places them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tvm_memopt.errors import InfeasibleBudgetError, MemoptError, NoPlanError
from tvm_memopt.graph import Graph, Plan, check, given_order, lifetimes, parse_budget
from tvm_memopt.passes.relay.extract import RelayExtraction, extract_function
from tvm_memopt.passes.relay.interrupts import heard_interrupts
from tvm_memopt.passes.relay.kernels import KernelFacts, KernelReader, measured_seconds
from tvm_memopt.passes.relay.program import UnsupportedFunctionError, parse_function, with_copied_inputs
from tvm_memopt.passes.relay.stages import StageGraph, stage_graph
from tvm_memopt.solvers import Deadline, Request, plan_for_order, solve
from tvm_memopt.solvers.layout.bins import assign_bins, bins_nbytes
from tvm_memopt.solvers.layout.conflicts import ConflictBlocks
from tvm_memopt.solvers.portfolio.verdict import budget_message
from tvm_memopt.targets import DeviceProfile
from tvm_memopt.targets.catalogue import profile_for

_log = logging.getLogger("tvm_memopt")
_TIGHTER = (1.0, 0.97, 0.93, 0.88)  # budgets for the search, relative to the given one, if placement exceeds it


@dataclass(frozen=True, kw_only=True)
class RelayOptions:
    """Options of the Relay door.

    ``budget``: upper limit on the workspace pool or the storage, as bytes, ``"192KiB"``, or ``"80%"`` of the peak of
    the given order. ``time_limit``: seconds of search for each function. ``measure_costs``: time each kernel on this
    machine instead of using the roofline. ``inplace``: let an output overwrite an input that its kernel has read to the
    end. ``plan``: follow this plan instead of searching. ``strict``: raise MemoptError for a function that cannot be
    planned. ``device``: the device by whose rates kernel times are estimated; by default the closest to the target.
    """

    budget: str | int | None = None
    time_limit: float = 10.0
    seed: int = 0
    threads: int | None = None
    measure_costs: bool = False
    inplace: bool = True
    plan: Plan | None = None
    strict: bool = False
    device: DeviceProfile | None = None

    def request(self, graph: Graph) -> Request:
        """The solver request for one function."""
        budget = None if self.budget is None else parse_budget(self.budget, graph)
        request = Request(budget_nbytes=budget, time_limit=self.time_limit, seed=self.seed)
        return request if self.threads is None else replace(request, threads=self.threads)


@dataclass(frozen=True)
class RelayPlan:
    """The plan of one function.

    ``graph``, ``plan``: at the level of calls for the graph executor and the virtual machine; for the ahead-of-time
    executor at the level of kernel statements, whose addresses are those of the workspace pool. ``schedule``: the order
    of the function's calls. ``extraction``: the function's graph and calls. ``stages``: the statements.
    ``groups``: for each call of the schedule the number of its kernel, equal where calls share one.
    ``storage_nbytes``: what the graph executor's storages need in this order, as assign_storage assigns them.
    """

    graph: Graph
    plan: Plan
    schedule: tuple[int, ...]
    extraction: RelayExtraction
    stages: StageGraph | None
    executor: str
    storage_nbytes: int | None = None
    groups: tuple[int, ...] | None = None


def plan_function(
    function: Any, target: Any, executor: str, options: RelayOptions, *, alignment: int, overwrite: bool = False
) -> RelayPlan:
    """Search for the plan of a fused function.

    ``executor``: ``"graph"``, ``"aot"`` or ``"vm"``. ``overwrite``: kernels may get one address for two
    buffers, which needs a code generator that assumes nothing about aliases. Raises UnsupportedFunctionError for a
    function that cannot be planned, InfeasibleBudgetError or NoPlanError if the budget is not met.
    """
    extraction = extract_calls(function, target, executor, options, alignment=alignment, overwrite=overwrite)
    if executor == "aot":
        return _plan_statements(extraction, options)
    if executor == "graph":
        return _plan_storages(extraction, options)
    plan = _searched(extraction.graph, options, 1.0, addresses=False)
    _require_budget(extraction.graph, plan)
    return RelayPlan(extraction.graph, plan, plan.schedule, extraction, None, executor)


def extract_calls(
    function: Any, target: Any, executor: str, options: RelayOptions, *, alignment: int, overwrite: bool = False
) -> RelayExtraction:
    """The graph of a fused function's calls, as plan_function searches it. Raises UnsupportedFunctionError."""
    program = parse_function(function)
    if not program.calls:
        raise UnsupportedFunctionError("it calls no kernel")
    if executor == "aot":
        program = with_copied_inputs(program)
    reader = KernelReader(target, overwrites=executor == "aot" and options.inplace and overwrite)
    return extract_function(
        program,
        reader,
        _seconds_of(target, options),
        alignment=alignment,
        outputs_in_arena=executor != "aot",
        workspace=executor == "aot",
        inplace=options.inplace and executor == "aot",
    )


def call_plan(planned: RelayPlan, options: RelayOptions) -> Plan:
    """The plan at the level of calls, which RelayOptions(plan=...) follows."""
    if planned.stages is None:
        return planned.plan
    graph = planned.extraction.graph
    request = replace(options.request(graph), budget_nbytes=None)
    return plan_for_order(graph, planned.schedule, request, Deadline(options.time_limit))


def _seconds_of(target: Any, options: RelayOptions) -> Any:
    known: dict[int, float] = {}
    cpu = str(target.attrs.get("mcpu", "") or "")
    rates = (options.device or profile_for(triple_of(target), cpu)).rates

    def seconds(facts: KernelFacts) -> float:
        if not options.measure_costs or facts.func is None:
            return facts.seconds(rates)
        if id(facts) not in known:
            known[id(facts)] = measured_seconds(facts, target)
        return known[id(facts)]

    return seconds


def triple_of(target: Any) -> str:
    """The LLVM triple of a target, or this machine's if it has none."""
    import os

    return str(target.attrs.get("mtriple", "")) or os.uname().machine


def _searched(graph: Graph, options: RelayOptions, share: float, *, addresses: bool = True) -> Plan:
    """The plan of the search, or the given plan if it fits the graph. ``addresses``: search for those too."""
    if options.plan is not None:
        return _followed(graph, options.plan)
    request = options.request(graph)
    if share < 1.0 and request.budget_nbytes is not None:
        request = replace(request, budget_nbytes=max(1, int(request.budget_nbytes * share)))
    if not addresses:
        request = replace(request, disabled=request.disabled | {"boosting", "cp-sat", "joint"})
    with heard_interrupts():
        plan = solve(graph, request)
    check(graph, plan)
    return plan


def _followed(graph: Graph, plan: Plan) -> Plan:
    known = len(graph.ops)
    wrong = [op for op in plan.schedule if not 0 <= op < known]
    if wrong or set(plan.schedule) != set(range(known)):
        raise MemoptError(
            f"the plan is for another module: it schedules ops up to {max(plan.schedule, default=-1)}, expected "
            f"each of the {known} calls of function {graph.name!r}: plan this module again"
        )
    check(graph, plan)
    return plan


def _plan_statements(extraction: RelayExtraction, options: RelayOptions) -> RelayPlan:
    """The best of the searched and the given order, with buffers placed as the statements of kernels allow."""
    graph = extraction.graph
    budget = options.request(graph).budget_nbytes
    candidates: list[RelayPlan] = []
    for share in _TIGHTER if budget is not None else (1.0,):
        found = _searched(graph, options, share)
        orders = [found.schedule] if options.plan or budget is not None else [found.schedule, given_order(graph)]
        for order in dict.fromkeys(orders):
            candidates.append(place_statements(extraction, order, options, found))
        best = min(candidates, key=lambda c: c.plan.arena_nbytes)
        if budget is None or best.plan.arena_nbytes <= budget or options.plan:
            break
    _require_budget(best.graph, best.plan)
    return best


def _plan_storages(extraction: RelayExtraction, options: RelayOptions) -> RelayPlan:
    """The best of the searched and the given order for an executor whose storages have no offsets."""
    graph = extraction.graph
    budget = options.request(graph).budget_nbytes
    candidates: list[RelayPlan] = []
    for share in _TIGHTER if budget is not None else (1.0,):
        found = _searched(graph, options, share, addresses=False)
        if found.status == "infeasible" and candidates:
            break  # it is the tighter budget that cannot be met
        if found.status == "infeasible":
            _require_budget(graph, found)
        orders = [found.schedule] if options.plan or budget is not None else [found.schedule, given_order(graph)]
        for order in dict.fromkeys(orders):
            request = replace(options.request(graph), budget_nbytes=None)
            plan = found if order == found.schedule else plan_for_order(graph, order, request, Deadline(1.0))
            nbytes = storage_nbytes(graph, order, options)
            candidates.append(RelayPlan(graph, plan, tuple(order), extraction, None, "graph", nbytes))
        best = min(candidates, key=lambda c: c.storage_nbytes or 0)
        if budget is None or (best.storage_nbytes or 0) <= budget:
            return best
    raise NoPlanError(
        f"function {graph.name!r}: no plan within the budget of {budget} bytes was found in the time limit: the graph "
        f"executor's smallest storages found have {best.storage_nbytes} bytes; it has no offsets, which the "
        "ahead-of-time executor has"
    )


def storage_nbytes(graph: Graph, schedule: Sequence[int], options: RelayOptions) -> int:
    """Bytes of storages without offsets that hold the tensors of a schedule."""
    buffers = lifetimes(graph, schedule).buffers
    blocks = ConflictBlocks.of_intervals([b.nbytes for b in buffers], [(b.first, b.last) for b in buffers])
    request = options.request(graph)
    bins, _ = assign_bins(blocks, Deadline(options.time_limit / 4), seed=options.seed, threads=request.threads)
    return bins_nbytes(blocks, bins)


def place_statements(
    extraction: RelayExtraction, schedule: Sequence[int], options: RelayOptions, found: Plan
) -> RelayPlan:
    """Place the buffers of one order of calls. ``found``: the plan at the level of calls, for its search figures."""
    stages = stage_graph(extraction, schedule)
    request = options.request(extraction.graph)
    plan = plan_for_order(stages.graph, stages.schedule, request, Deadline(options.time_limit))
    merged = {**plan.solver, "calls": {"arena_nbytes": found.arena_nbytes, "status": found.status, **found.solver}}
    plan = replace(plan, solver=merged)
    check(stages.graph, plan)
    return RelayPlan(stages.graph, plan, tuple(schedule), extraction, stages, "aot")


def _require_budget(graph: Graph, plan: Plan) -> None:
    if plan.status == "infeasible":
        raise InfeasibleBudgetError(f"function {graph.name!r}: {budget_message(graph, plan)}")
    if plan.status == "unknown":
        raise NoPlanError(f"function {graph.name!r}: {budget_message(graph, plan)}")


def log_plan(name: str, planned: RelayPlan) -> None:
    """Log one line on the package's logger."""
    plan = planned.plan
    _log.info(
        "%s: %d calls, arena %d bytes, bound %s, %s", name, len(planned.extraction.program.calls), plan.arena_nbytes,
        plan.lower_bound_nbytes, plan.status,
    )  # fmt: skip


__all__ = [
    "RelayOptions",
    "RelayPlan",
    "call_plan",
    "extract_calls",
    "log_plan",
    "place_statements",
    "plan_function",
    "triple_of",
]
