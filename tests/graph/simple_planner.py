"""A planner of a few lines that shares no code with the package: every buffer on top of the last one.

With ``inplace`` an output takes the place of a dying input of its op when it fits there.
"""

from __future__ import annotations

from tvm_memopt.graph import Allocation, Graph, Plan

Instance = list[int]  # [tensor or -1 for a workspace, first, last, nbytes]


def simple_plan(graph: Graph, schedule: tuple[int, ...] | None = None, *, inplace: bool = False) -> Plan:
    schedule = tuple(range(len(graph.ops))) if schedule is None else schedule
    found = instances(graph, schedule)
    offsets = _stack(graph, schedule, found, inplace)
    allocations = tuple(
        Allocation(None if tensor < 0 else tensor, first, last, offset, nbytes)
        for (tensor, first, last, nbytes), offset in zip(found, offsets, strict=True)
    )
    return Plan(
        graph=graph.name,
        schedule=schedule,
        allocations=allocations,
        alignment=graph.alignment,
        arena_nbytes=max((a.end for a in allocations), default=0),
        peak_live_nbytes=max((_union(allocations, step) for step in range(len(schedule))), default=0),
        cost=sum(graph.ops[op].cost for op in schedule),
        base_cost=sum(op.cost for op in graph.ops),
        status="feasible",
        solver={"name": "simple", "seconds": 0.0},
    )


def storage(graph: Graph, tensor: int) -> int | None:
    """The arena tensor under ``tensor``, or None."""
    while (parent := graph.tensors[tensor].alias_of) is not None:
        tensor = parent
    return tensor if graph.tensors[tensor].arena else None


def instances(graph: Graph, schedule: tuple[int, ...]) -> list[Instance]:
    """Every buffer with the tightest life that its readers allow."""
    found: list[Instance] = []
    newest: dict[int, Instance] = {}

    def born(tensor: int, step: int, nbytes: int) -> None:
        found.append([tensor, step, step, nbytes])
        newest[tensor] = found[-1]

    for tensor_id, tensor in enumerate(graph.tensors):
        if schedule and tensor.kind != "activation" and storage(graph, tensor_id) == tensor_id:
            born(tensor_id, 0, tensor.nbytes)
    for step, op_id in enumerate(schedule):
        op = graph.ops[op_id]
        for tensor_id in op.inputs:
            if (base := storage(graph, tensor_id)) is not None:
                newest[base][2] = step
        for tensor_id in op.outputs:
            if storage(graph, tensor_id) == tensor_id:
                born(tensor_id, step, graph.tensors[tensor_id].nbytes)
        if op.workspace:
            born(-1, step, op.workspace)
    for tensor_id in graph.outputs:
        if schedule and (base := storage(graph, tensor_id)) is not None:
            newest[base][2] = len(schedule) - 1
    return found


def _stack(graph: Graph, schedule: tuple[int, ...], found: list[Instance], inplace: bool) -> list[int]:
    returned = {storage(graph, t) for t in graph.outputs}
    newest = {instance[0]: index for index, instance in enumerate(found)}
    offsets: list[int] = []
    taken: set[int] = set()
    top = 0
    for tensor, first, _, nbytes in found:
        host = None
        for source, target in graph.ops[schedule[first]].inplace if inplace else ():
            for index, other in enumerate(found[: len(offsets)]):
                dies = other[2] == first and other[0] == storage(graph, source) and index not in taken
                kept = other[0] in returned and newest[other[0]] == index
                if target == tensor and dies and not kept and nbytes <= other[3]:
                    host = index
        if host is None:
            offsets.append(top)
            top += -(-nbytes // graph.alignment) * graph.alignment
        else:
            taken.add(host)
            offsets.append(offsets[host])
    return offsets


def _union(allocations: tuple[Allocation, ...], step: int) -> int:
    total, top = 0, 0
    for a in sorted((a for a in allocations if a.first <= step <= a.last), key=lambda a: a.offset):
        total += max(0, a.end - max(a.offset, top))
        top = max(top, a.end)
    return total
