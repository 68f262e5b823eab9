"""Which buffer of TVM's static memory planner (USMP) is which tensor of a plan, by name.

USMP numbers the tensors between kernels in the order of the calls. It visits each kernel at its first call and makes
the names of its scratch unique with a number behind them. Calls of equal functions share one kernel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import tvm
from tvm import relay

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Allocation, Buffer, Plan, find_violations, lifetimes
from tvm_memopt.passes.relay.planning import RelayPlan
from tvm_memopt.passes.relay.program import identity, is_annotation

Run = tuple[int, int]  # a tensor of the plan's graph, and which of its instances


def kernel_groups(function: Any) -> tuple[int, ...]:
    """For each call of a let chain: the number of its kernel, equal for calls of equal functions."""
    buckets: dict[int, list[tuple[Any, int]]] = {}
    groups: list[int] = []
    bound: dict[int, Any] = {}
    body, count = function.body, 0
    while isinstance(body, relay.Let):
        bound[identity(body.var)] = body.value
        value = body.value.args[0] if is_annotation(body.value) else body.value
        if isinstance(value, relay.Call):
            callee = bound.get(identity(value.op), value.op)
            bucket = buckets.setdefault(tvm.ir.structural_hash(callee), [])
            group = next((g for other, g in bucket if tvm.ir.structural_equal(other, callee)), None)
            if group is None:
                group, count = count, count + 1
                bucket.append((callee, group))
            groups.append(group)
        body = body.body
    return tuple(groups)


def annotated(mod: Any) -> Any:
    """``mod`` as the ahead-of-time executor annotates it before lowering, or ``mod`` where TVM has no such pass.

    The annotation of used memory makes otherwise equal functions different.
    """
    annotate = tvm.get_global_func("relay.transform.AnnotateUsedMemory", allow_missing=True)
    if annotate is None:
        return mod
    copy = tvm.IRModule(dict(mod.functions.items()), mod.type_definitions, attrs=mod.attrs)
    for transform in (relay.transform.ToANormalForm(), relay.transform.InferType(), annotate()):
        copy = transform(copy)
    return copy


def buffer_tensors(sizes: Mapping[str, int], planned: RelayPlan) -> dict[str, list[Run]] | None:
    """The instances of the plan's tensors that each USMP buffer holds, or None if names or sizes do not match.

    ``sizes``: bytes of the workspace's buffers by name.
    """
    tensors, scratch = _expected(planned)
    numbered = sorted((int(m[1]), n) for n in sizes if (m := re.fullmatch(r"sid_(\d+)", n)))
    if [sizes[n] for _, n in numbered] != [nbytes for _, nbytes in tensors]:
        return None
    found = {name: [run] for (_, name), (run, _) in zip(numbered, tensors, strict=True)}
    for name, runs, nbytes in scratch:
        if sizes.get(name) != nbytes:
            return None
        found[name] = runs
    return found if set(found) == set(sizes) else None


def merged_buffers(found: Mapping[str, list[Run]], planned: RelayPlan) -> list[tuple[str, str]]:
    """Pairs of USMP buffers that share an address in the plan, and may share it at every call of their kernels."""
    assert planned.stages is not None
    name_of = {run: name for name, runs in found.items() for run in runs}
    lives = lifetimes(planned.stages.graph, planned.stages.schedule)
    counts: dict[int | None, int] = {}
    instances: dict[str, list[int]] = {}
    names: list[str | None] = []
    for index, buffer in enumerate(lives.buffers):
        run = counts.get(buffer.tensor, 0)
        counts[buffer.tensor] = run + 1
        name = name_of.get((buffer.tensor, run)) if buffer.tensor is not None else None
        names.append(name)
        instances.setdefault(name or "", []).append(index)
    offsets = [a.offset for a in planned.plan.allocations]
    allowed = set(lives.inplace)
    together = {(names[s], names[t]) for s, t in lives.inplace if offsets[s] == offsets[t]}
    return [
        (source, target)
        for source, target in sorted((s, t) for s, t in together if s is not None and t is not None and s != t)
        if all(
            (i, j) in allowed or (j, i) in allowed or not _overlap(lives.buffers[i], lives.buffers[j])
            for i in instances[source]
            for j in instances[target]
        )
    ]


def _overlap(one: Buffer, other: Buffer) -> bool:
    return one.first <= other.last and other.first <= one.last


def _expected(planned: RelayPlan) -> tuple[list[tuple[Run, int]], list[tuple[str, list[Run], int]]]:
    """The plan's tensors between kernels with their bytes, and the names, instances and bytes of scratch buffers."""
    assert planned.stages is not None
    graph, counts = planned.stages.graph, dict[str, int]()
    runs_of: dict[int, int] = {}
    groups = planned.groups or tuple(range(len(planned.schedule)))
    tensors: list[tuple[Run, int]] = []
    scratch: dict[tuple[int, int], tuple[str, list[Run], int]] = {}
    for step, op_id in enumerate(planned.schedule):
        run = runs_of.get(op_id, 0)
        runs_of[op_id] = run + 1
        for tensor in planned.extraction.graph.ops[op_id].outputs:
            if graph.planned[tensor]:
                tensors.append(((tensor, run), graph.tensors[tensor].nbytes))
        facts = planned.extraction.facts[op_id]
        buffers = zip(planned.stages.scratch_of.get(op_id, ()), facts.scratch if facts else (), strict=True)
        for position, (tensor, buffer) in enumerate(buffers):
            key = (groups[step], position)
            if key not in scratch:
                scratch[key] = (_unique(buffer.name, counts), [], buffer.nbytes)
            scratch[key][1].append((tensor, run))
    return tensors, list(scratch.values())


def _unique(name: str, counts: dict[str, int]) -> str:
    counts[name] = counts.get(name, 0) + 1
    return name if counts[name] == 1 else f"{name}{counts[name]}"


def placed_plan(
    planned: RelayPlan, places: Mapping[str, tuple[str, int]], sizes: Mapping[str, int], method: str
) -> RelayPlan | None:
    """The plan with the addresses that the pool really has.

    ``places``: pool and offset by USMP's names. ``sizes``: bytes of the workspace's buffers. Returns None if the
    buffers are not those of the plan, and raises MemoptError if their addresses break a rule of plans.
    """
    found = buffer_tensors(sizes, planned)
    if found is None or planned.stages is None:
        return None
    offset_of = {pair: places[name][1] for name, pairs in found.items() for pair in pairs}
    lives = lifetimes(planned.stages.graph, planned.stages.schedule)
    runs: dict[int, int] = {}
    allocations = []
    for buffer in lives.buffers:
        assert buffer.tensor is not None
        run = runs.get(buffer.tensor, 0)
        runs[buffer.tensor] = run + 1
        offset = offset_of[buffer.tensor, run]
        allocations.append(Allocation(buffer.tensor, buffer.first, buffer.last, offset, buffer.nbytes))
    arena = max((a.end for a in allocations), default=0)
    plan = replace(
        planned.plan, allocations=tuple(allocations), arena_nbytes=arena, status=_status(planned.plan, arena)
    )
    plan = replace(plan, solver={**plan.solver, "layout_method": method})
    violations = find_violations(planned.stages.graph, plan)
    if violations:
        raise MemoptError(f"the placement of TVM's buffers is no valid plan: {violations[0]}")
    return replace(planned, plan=plan)


def _status(plan: Plan, arena: int) -> Any:
    if plan.budget_nbytes is None:
        return "optimal" if arena == plan.lower_bound_nbytes else "feasible"
    return plan.status
