"""Plans for the report's tests from a planner of a few lines: any order, addresses by first fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvm_memopt.graph import (
    Allocation,
    Graph,
    Op,
    Plan,
    Tensor,
    align_up,
    lifetimes,
    read_graph,
    working_set_bound,
)

FIVE_BUFFERS = Path(__file__).parents[2] / "docs" / "five_buffers.json"
REORDERED = (0, 1, 3, 2, 4, 5)
RECOMPUTED = (0, 2, 4, 0, 1, 3, 5)


def first_fit_plan(graph: Graph, schedule: Sequence[int] | None = None, **changes: Any) -> Plan:
    """A valid plan: largest buffers first, each at the lowest free offset; in-place pairs of equal size share."""
    order = tuple(range(len(graph.ops))) if schedule is None else tuple(schedule)
    lives = lifetimes(graph, order)
    offsets = _first_fit(graph, lives)
    buffers = enumerate(lives.buffers)
    allocations = tuple(Allocation(b.tensor, b.first, b.last, offsets[i], b.nbytes) for i, b in buffers)
    cost = sum(graph.ops[op].cost for op in order)
    fields: dict[str, Any] = {
        "graph": graph.name,
        "schedule": order,
        "allocations": allocations,
        "alignment": graph.alignment,
        "arena_nbytes": max((a.end for a in allocations), default=0),
        "peak_live_nbytes": max(_union(allocations, s) for s in range(len(order))) if order else 0,
        "lower_bound_nbytes": working_set_bound(graph)[0],
        "cost": cost,
        "base_cost": graph.base_cost,
        "status": "feasible",
        "solver": {"name": "first-fit", "seconds": 0.012, "seed": 0},
    }
    return Plan(**{**fields, **changes})


def _first_fit(graph: Graph, lives: Any) -> dict[int, int]:
    partner = {}
    for source, target in lives.inplace:
        same = lives.buffers[source].nbytes == lives.buffers[target].nbytes
        if same and source not in partner.values() and target not in partner:
            partner[target] = source
    offsets: dict[int, int] = {}
    for index in sorted(range(len(lives.buffers)), key=lambda i: (-lives.buffers[i].nbytes, i)):
        buffer = lives.buffers[index]
        others = [
            (offsets[i], offsets[i] + b.nbytes, i)
            for i, b in enumerate(lives.buffers)
            if i in offsets and b.first <= buffer.last and buffer.first <= b.last
        ]
        pair = partner.get(index)
        if pair in offsets and _free(offsets[pair], buffer.nbytes, [o for o in others if o[2] != pair]):
            offsets[index] = offsets[pair]
            continue
        ends = sorted({0, *(align_up(end, graph.alignment) for _, end, _ in others)})
        offsets[index] = next(offset for offset in ends if _free(offset, buffer.nbytes, others))
    return offsets


def _free(offset: int, nbytes: int, others: Sequence[tuple[int, int, int]]) -> bool:
    return all(offset + nbytes <= start or end <= offset for start, end, _ in others)


def _union(allocations: Sequence[Allocation], step: int) -> int:
    held, top = 0, 0
    for a in sorted((a for a in allocations if a.first <= step <= a.last), key=lambda a: a.offset):
        held += max(0, a.end - max(a.offset, top))
        top = max(top, a.end)
    return held


def five_buffers(schedule: Sequence[int] = REORDERED, **changes: Any) -> tuple[Graph, Plan]:
    graph = read_graph(FIVE_BUFFERS)
    return graph, first_fit_plan(graph, schedule, **changes)


def every_feature() -> tuple[Graph, Plan]:
    """Arena and foreign inputs, a weight, a view, in-place pairs, workspaces, a repeat, a returned tensor."""
    tensors = (
        Tensor("x", 4096, "input", True),
        Tensor("w", 65536, "weight", False),
        Tensor("a", 8192),
        Tensor("a_flat", 8192, alias_of=2),
        Tensor("b", 8192),
        Tensor("c", 16384),
        Tensor("d", 8192),
        Tensor("y", 8192),
        Tensor("unused", 64),
    )
    ops = (
        Op("conv", (0, 1), (2,), 5e-6, workspace=3000),
        Op("flatten", (2,), (3,), 0.0),
        Op("relu", (3,), (4,), 1e-6, inplace=((3, 4),)),
        Op("dense", (4,), (5,), 7e-6, workspace=512, recomputable=False),
        Op("pool", (5,), (6, 8), 2e-6),
        Op("add", (6, 4), (7,), 1e-6, inplace=((6, 7), (4, 7))),
    )
    graph = Graph("every-feature", tensors, ops, (7,), 64)
    return graph, first_fit_plan(graph, (0, 1, 2, 3, 4, 0, 1, 2, 5), cost_bound=None)


def layered(steps: int, width: int = 6, alignment: int = 64) -> tuple[Graph, Plan]:
    """A chain with skip connections of ``width`` steps: sizes from a fixed linear congruence."""
    tensors, ops, state = [], [], 12345
    for index in range(steps):
        state = (1103515245 * state + 12345) % 2**31
        tensors.append(Tensor(f"t{index}", 1024 * (4 + state // 65536 % 60)))
        inputs = tuple(i for i in (index - 1, index - width) if i >= 0)
        ops.append(Op(f"op_{index}", inputs, (index,), 1e-6 * (1 + index % 7), workspace=4096 * (index % 5 == 3)))
    graph = Graph(f"layered-{steps}", tuple(tensors), tuple(ops), (steps - 1,), alignment)
    return graph, first_fit_plan(graph)
