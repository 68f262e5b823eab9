"""Whether a run used the addresses of its plan. It shares no code with what reads a module or writes a program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tvm_memopt.export.outcome import Outcome
from tvm_memopt.graph import Allocation, Graph, Plan, graph_from_json, plan_from_json


def misplaced(document: Mapping[str, Any], outcome: Outcome) -> list[str]:
    """What differs between the addresses of a run and the plan in the program's document, one line each.

    Each buffer that an operator reads or writes must be passed at its own offset. Any other tensor of the call, such as
    scratch, must lie inside one allocation that is live at the call's step, or where nothing is live. Raises KeyError
    for a program without a plan.
    """
    graph, plan = graph_from_json(json.dumps(document["graph"])), plan_from_json(json.dumps(document["plan"]))
    found = [] if outcome.arena_nbytes == plan.arena_nbytes else [
        f"the arena has {outcome.arena_nbytes} bytes, and that of the plan {plan.arena_nbytes}"
    ]  # fmt: skip
    if outcome.overrun_nbytes:
        found.append(f"{outcome.overrun_nbytes} bytes after the arena were written")
    steps = [*_input_copies(graph, plan), *_kernel_steps(graph, plan)]
    calls = document["calls"]
    if len(steps) != len(calls):
        return [*found, f"the program has {len(calls)} calls, and the plan {len(steps)}"]
    for number, (step, call, places) in enumerate(zip(steps, calls, outcome.places, strict=True)):
        label = f"call {number + 1} ({call['kernel']})"
        found += _overlaps(plan, max(step, 0), places, call["nbytes"], label)
        wanted = _offsets(graph, plan, step) if step >= 0 else set()
        missing = sorted(wanted - set(places))
        found += [f"{label}: no tensor at offset {offset}, where the plan has one" for offset in missing]
    return found


def _input_copies(graph: Graph, plan: Plan) -> Iterator[int]:
    """A call for each input that is copied to its place in the arena before the first step."""
    for allocation in plan.allocations:
        if allocation.tensor is not None and graph.tensors[allocation.tensor].kind == "input":
            yield -1


def _kernel_steps(graph: Graph, plan: Plan) -> Iterator[int]:
    """The steps at which a kernel runs: an operator that makes a view runs none."""
    for step, op_id in enumerate(plan.schedule):
        outputs = graph.ops[op_id].outputs
        if len(outputs) != 1 or graph.tensors[outputs[0]].alias_of is None:
            yield step


def _overlaps(plan: Plan, step: int, places: Sequence[int], sizes: Sequence[int], label: str) -> Iterator[str]:
    live = [a for a in plan.allocations if a.first <= step <= a.last]
    for place, nbytes in zip(places, sizes, strict=True):
        end = place + nbytes
        if place < 0 or not nbytes or any(a.offset <= place and end <= a.end for a in live):
            continue
        if end > plan.arena_nbytes or any(a.offset < end and place < a.end for a in live):
            yield f"{label}: {nbytes} bytes at offset {place} overlap what the plan holds at step {step}"


def _offsets(graph: Graph, plan: Plan, step: int) -> set[int]:
    """The offsets of the buffers that the operator of a step reads and writes."""
    op = graph.ops[plan.schedule[step]]
    by_tensor: dict[int, list[Allocation]] = {}
    for allocation in plan.allocations:
        if allocation.tensor is not None and allocation.nbytes:
            by_tensor.setdefault(allocation.tensor, []).append(allocation)
    written = [a for t in op.outputs for a in by_tensor.get(t, []) if a.first == step]
    read = [
        max(instances, key=lambda a: a.first)
        for t in op.inputs
        if (instances := [a for a in by_tensor.get(_root(graph, t), []) if a.first < max(step, 1) and step <= a.last])
    ]
    return {a.offset for a in [*written, *read]}


def _root(graph: Graph, tensor: int) -> int:
    while (base := graph.tensors[tensor].alias_of) is not None:
        tensor = base
    return tensor
