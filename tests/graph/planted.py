"""A graph with every feature, a tight valid plan of it, and the ways in which its JSON can be spoiled."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.graph.simple_planner import simple_plan
from tvm_memopt.graph import Graph, Op, Tensor, plan_to_json

GRAPH = Graph(
    name="planted",
    tensors=(
        Tensor("x", 64, "input", arena=True),
        Tensor("w", 256, "weight", arena=False),
        Tensor("a", 128),
        Tensor("view", 128, alias_of=2),
        Tensor("b", 128),
        Tensor("c", 48),
        Tensor("dead", 64),
        Tensor("y", 64),
        Tensor("z", 32, arena=False),
        Tensor("s", 64),
    ),
    ops=(
        Op("load", (0, 1), (2,), cost=4.0, workspace=32),
        Op("reshape", (2,), (3,)),
        Op("relu", (3,), (4,), cost=1.0, inplace=((3, 4),)),
        Op("dropout", (4,), (5, 6), cost=1.0, recomputable=False),
        Op("mix", (5, 4), (7,), cost=2.0),
        Op("export", (7, 0), (8,), cost=0.5),
        Op("shift", (7, 8), (9,), cost=0.5, inplace=((7, 9),)),
    ),
    outputs=(7, 8, 9),
    alignment=16,
)
A, VIEW, B, C, DEAD, Y, S, WEIGHT, INPUT = 2, 3, 4, 5, 6, 7, 9, 1, 0
SCHEDULE = (0, 1, 2, 3, 0, 1, 2, 4, 5, 6)  # load, reshape and relu run twice
PLAN = simple_plan(GRAPH, SCHEDULE, inplace=True)

Document = dict[str, Any]
Spoil = Callable[[Document], None]


def document() -> Document:
    loaded: Document = json.loads(plan_to_json(PLAN))
    return loaded


def held(plan: Document, tensor: int | None, first: int) -> Document:
    (found,) = (a for a in plan["allocations"] if a["tensor"] == tensor and a["first"] == first)
    allocation: Document = found
    return allocation


def put(key: str, value: Any) -> Spoil:
    return lambda plan: plan.update({key: value})


def put_in(tensor: int | None, at: int, **changes: Any) -> Spoil:
    return lambda plan: held(plan, tensor, at).update(changes)


def drop(tensor: int | None, first: int) -> Spoil:
    return lambda plan: plan["allocations"].remove(held(plan, tensor, first))


def add(tensor: int | None, first: int, last: int, nbytes: int, offset: int = 1 << 20) -> Spoil:
    row = {"tensor": tensor, "first": first, "last": last, "offset": offset, "nbytes": nbytes}
    return lambda plan: plan["allocations"].append(row)


def place_on(tensor: int | None, first: int, other: int | None, other_first: int, shift: int = 0) -> Spoil:
    """Moves an allocation onto another one."""
    return lambda plan: held(plan, tensor, first).update(offset=held(plan, other, other_first)["offset"] + shift)


def run(step: int, op: int) -> Spoil:
    """Another op in the place of the one at ``step``."""
    return lambda plan: plan["schedule"].__setitem__(step, op)


def swap(step: int, other: int) -> Spoil:
    def spoil(plan: Document) -> None:
        order = plan["schedule"]
        order[step], order[other] = order[other], order[step]

    return spoil


def both(*spoils: Spoil) -> Spoil:
    def spoil(plan: Document) -> None:
        for one in spoils:
            one(plan)

    return spoil


def with_totals(plan: Document) -> None:
    """A careful forger: the arena, the costs and a peak that does not matter are made to agree."""
    plan["arena_nbytes"] = max(a["offset"] + a["nbytes"] for a in plan["allocations"])
    plan["cost"] = sum(GRAPH.ops[op].cost for op in plan["schedule"] if 0 <= op < len(GRAPH.ops))


# name: (what is spoiled, the rule that must be named, the step where, or None for the whole plan)
PLANTED: dict[str, tuple[Spoil, str, int | None]] = {
    "another graph's plan": (put("graph", "other"), "wrong-graph", None),
    "looser alignment": (put("alignment", 8), "alignment", None),
    "zero alignment": (put("alignment", 0), "alignment", None),
    "op beyond the graph": (run(9, 7), "unknown-op", 9),
    "negative op": (run(9, -1), "unknown-op", 9),
    "op left out": (run(9, 1), "missing-op", None),
    "random op run again": (run(6, 3), "not-recomputable", 6),
    "tensor beyond the graph": (add(10, 2, 2, 4), "unknown-tensor", 2),
    "steps beyond the schedule": (put_in(Y, 7, last=10), "bad-steps", 7),
    "steps reversed": (put_in(C, 3, last=2), "bad-steps", 3),
    "negative step": (put_in(INPUT, 0, first=-1), "bad-steps", -1),
    "negative offset": (put_in(INPUT, 0, offset=-16), "negative-offset", 0),
    "misaligned offset": (lambda plan: held(plan, C, 3).update(offset=held(plan, C, 3)["offset"] + 8), "misaligned", 3),
    "weight outside the arena placed": (add(WEIGHT, 0, 0, 256), "not-planned", 0),
    "view with bytes of its own": (add(VIEW, 1, 1, 128), "not-planned", 1),
    "buffer too small": (put_in(B, 2, nbytes=127), "wrong-size", 2),
    "buffer too large": (put_in(C, 3, nbytes=64), "wrong-size", 3),
    "negative size": (put_in(C, 3, nbytes=-48), "wrong-size", 3),
    "output without a place": (drop(DEAD, 3), "missing-output", 3),
    "recomputed output without a place": (drop(A, 4), "missing-output", 4),
    "input without a place": (drop(INPUT, 0), "missing-input", 0),
    "workspace left out": (drop(None, 0), "missing-workspace", 0),
    "workspace of the second run left out": (drop(None, 4), "missing-workspace", 4),
    "workspace too small": (put_in(None, 0, nbytes=16), "missing-workspace", 0),
    "workspace kept": (put_in(None, 0, last=1), "missing-workspace", 0),
    "workspace that no op asks for": (add(None, 2, 2, 32), "spurious", 2),
    "tensor that nobody writes there": (add(B, 5, 5, 128), "spurious", 5),
    "input loaded again": (add(INPUT, 4, 8, 64), "spurious", 4),
    "buffer placed twice": (add(C, 3, 3, 48), "duplicate", 3),
    "workspace placed twice": (add(None, 0, 0, 32), "duplicate", 0),
    "reader before its producer": (swap(2, 3), "not-produced", 2),
    "reader before an output outside the arena": (swap(8, 9), "not-produced", 8),
    "view used before it is made": (swap(1, 2), "not-produced", 1),
    "life cut short": (put_in(B, 6, last=6), "not-live", 7),
    "life cut short before a view's reader": (put_in(A, 0, last=1), "not-live", 2),
    "life of an input cut short": (put_in(INPUT, 0, last=4), "not-live", 8),
    "older instance cut short": (put_in(B, 2, last=2), "not-live", 3),
    "returned tensor freed": (put_in(Y, 7, last=8), "returned-not-live", 9),
    "dead output kept": (put_in(DEAD, 3, last=5), "held-too-long", 3),
    "two live buffers at one place": (place_on(C, 3, INPUT, 0), "overlap", 3),
    "two live buffers that touch by some bytes": (place_on(C, 3, INPUT, 0, 48), "overlap", 3),
    "workspace over an input": (place_on(None, 0, INPUT, 0), "overlap", 0),
    "workspace over an output": (place_on(None, 4, A, 4), "overlap", 4),
    "two outputs of an op at one place": (place_on(DEAD, 3, C, 3), "overlap", 3),
    "output over an input without a pair": (place_on(Y, 7, B, 6), "overlap", 7),
    "in-place at another offset": (place_on(B, 6, A, 4, 16), "overlap", 6),
    "in-place over an input that lives on": (both(put_in(A, 4, last=7), place_on(B, 6, A, 4)), "overlap", 6),
    "in-place over a returned tensor": (place_on(S, 9, Y, 7), "overlap", 9),
    "arena understated": (lambda plan: plan.update(arena_nbytes=plan["arena_nbytes"] - 16), "wrong-arena", None),
    "arena overstated": (lambda plan: plan.update(arena_nbytes=plan["arena_nbytes"] + 16), "wrong-arena", None),
    "peak understated": (lambda plan: plan.update(peak_live_nbytes=plan["peak_live_nbytes"] - 1), "wrong-peak", None),
    "cost of the recomputation hidden": (put("cost", GRAPH.base_cost), "wrong-cost", None),
    "base cost wrong": (put("base_cost", 1.0), "wrong-cost", None),
    "over the budget": (put("budget_nbytes", PLAN.arena_nbytes - 1), "over-budget", None),
    "bound above the arena": (put("lower_bound_nbytes", PLAN.arena_nbytes + 1), "wrong-bound", None),
    "cost bound above the cost": (put("cost_bound", PLAN.cost + 1), "wrong-bound", None),
    "optimal without a bound": (put("status", "optimal"), "unproved", None),
    "optimal with a gap": (
        both(put("status", "optimal"), put("lower_bound_nbytes", PLAN.arena_nbytes - 1)),
        "unproved",
        None,
    ),
    "optimal within a budget without a cost bound": (
        both(put("status", "optimal"), put("budget_nbytes", PLAN.arena_nbytes)),
        "unproved",
        None,
    ),
    "infeasible without a proof": (
        both(put("status", "infeasible"), put("budget_nbytes", 100), put("lower_bound_nbytes", 100)),
        "unproved",
        None,
    ),
}
