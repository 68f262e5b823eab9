"""The constraint model without a fixed order: runs at distinct positions of a schedule of unknown length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tvm_memopt.graph import Graph, lifetimes
from tvm_memopt.solvers.remat.retention import (
    Retention,
    Run,
    add_instances,
    add_memory,
    add_returned,
    add_service,
    worth_repeating,
)
from tvm_memopt.solvers.remat.scaling import byte_unit, scale_costs


@dataclass(frozen=True)
class ExactModel:
    """``repeats``: the cost of all runs except first ones, in units of scale_costs. ``steps``: number of runs."""

    retention: Retention
    repeats: Any
    steps: Any


def allowed_runs(graph: Graph, copies: int, slack: int | None) -> list[int]:
    """Most runs of each op: ``copies``, or fewer if repeats would cost more than ``slack`` units."""
    costs = scale_costs(graph).ops
    counts = [copies if worth_repeating(graph, op) else 1 for op in range(len(graph.ops))]
    if slack is None:
        return counts
    return [min(c, 1 + slack // costs[op]) if costs[op] else c for op, c in enumerate(counts)]


def most_steps(graph: Graph, counts: Sequence[int], slack: int | None) -> int:
    """Most steps of a schedule whose repeats cost at most ``slack`` units, taking the cheapest repeats first."""
    costs = scale_costs(graph).ops
    repeats = sorted(costs[op] for op, c in enumerate(counts) for _ in range(c - 1))
    steps, left = len(counts), slack
    for cost in repeats:
        if left is not None:
            if cost > left:
                break
            left -= cost
        steps += 1
    return steps


def build_exact(graph: Graph, budget_nbytes: int, counts: Sequence[int], slack: int | None) -> ExactModel:
    """Build the model of schedules with at most ``counts[i]`` runs of op i and repeats of at most ``slack`` units."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    horizon = most_steps(graph, counts, slack)
    retention = Retention(graph, model, horizon, _runs(graph, model, counts, horizon))
    add_instances(retention, lambda _: cp_model.Domain(1, horizon))
    add_service(retention)
    extra = [run for run in retention.all_runs() if run.index]
    steps = model.new_int_var(len(graph.ops), horizon, "")
    model.add(steps == len(graph.ops) + sum(run.present for run in extra))
    add_returned(retention, steps)
    _add_positions(retention, steps)
    add_memory(retention, budget_nbytes // byte_unit(graph))
    costs = scale_costs(graph).ops
    repeats = model.new_int_var(0, sum(costs[run.op] for run in extra) if slack is None else slack, "")
    model.add(repeats == sum(costs[run.op] * run.present for run in extra))
    return ExactModel(retention, repeats, steps)


def _runs(graph: Graph, model: Any, counts: Sequence[int], horizon: int) -> list[list[Run]]:
    """Runs whose starts lie between an op's ancestors and its descendants. A repeat starts after the first run."""
    always = model.new_constant(1)
    before, after = _closure_sizes(graph.predecessors), _closure_sizes(graph.successors, backward=True)
    runs: list[list[Run]] = []
    for op, count in enumerate(counts):
        first = Run(op, 0, model.new_int_var(before[op], horizon - 1 - after[op], ""), always)
        again = [
            Run(op, i, model.new_int_var(min(before[op] + i, horizon - 1), horizon - 1, ""), model.new_bool_var(""))
            for i in range(1, count)
        ]
        runs.append([first, *again])
    return runs


def _closure_sizes(neighbours: Sequence[Sequence[int]], *, backward: bool = False) -> list[int]:
    """For each op: the number of ops reachable through its neighbours."""
    reached = [0] * len(neighbours)
    for op in reversed(range(len(neighbours))) if backward else range(len(neighbours)):
        for other in neighbours[op]:
            reached[op] |= reached[other] | 1 << other
    return [bits.bit_count() for bits in reached]


def _add_positions(retention: Retention, steps: Any) -> None:
    """Equation 6: at most one run per position, and no empty position."""
    graph, model = retention.graph, retention.model
    slots = [model.new_optional_fixed_size_interval_var(r.start, 1, r.present, "") for r in retention.all_runs()]
    model.add_no_overlap(slots)
    for run in retention.all_runs():
        model.add(run.start < steps).only_enforce_if(run.present)
    for op, before in enumerate(graph.predecessors):
        for predecessor in before:
            model.add(retention.runs[predecessor][0].start < retention.runs[op][0].start)
    for runs in retention.runs:
        for first, second in pairwise(runs):
            model.add(first.start < second.start).only_enforce_if(second.present)


def hint_schedule(built: ExactModel, schedule: Sequence[int]) -> None:
    """Give CP-SAT ``schedule`` as the initial solution."""
    retention, model = built.retention, built.retention.model
    lives = lifetimes(retention.graph, schedule)
    ends = {(b.tensor, b.first): b.last + 1 for b in lives.buffers}
    done = [0] * len(retention.runs)
    for step, op in enumerate(schedule):
        if done[op] < len(retention.runs[op]):
            run = retention.runs[op][done[op]]
            model.add_hint(run.start, step)
            if run.index:
                model.add_hint(run.present, 1)
            for tensor in retention.graph.writes[op]:
                model.add_hint(retention.instances[tensor][run.index].end, ends[tensor, step])
        done[op] += 1
    for tensor, instances in retention.instances.items():
        if instances[0].run is None:
            model.add_hint(instances[0].end, ends[tensor, 0])
    for run in retention.all_runs():
        if run.index >= done[run.op]:
            model.add_hint(run.present, 0)
    model.add_hint(built.steps, len(schedule))
