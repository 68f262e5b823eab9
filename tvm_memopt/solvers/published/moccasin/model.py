"""MOCCASIN's constraint model: staged event times over a fixed order of first runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.remat.retention import (
    Retention,
    Run,
    add_direct_read,
    add_instances,
    add_memory,
    add_returned,
    add_service,
    worth_repeating,
)
from tvm_memopt.solvers.remat.scaling import byte_unit, scale_costs, stage_position

Encoding = Literal["reservoir", "literals"]
_LENGTHS_PER_OP = 5
_HORIZON_SLACK = 1.1


@dataclass(frozen=True)
class MoccasinModel:
    """The model without an objective. ``memory`` counts ``unit`` bytes; ``repeats`` is the cost of repeated runs."""

    retention: Retention
    memory: Any
    repeats: Any
    unit: int
    end_of_program: int


def copies_per_op(graph: Graph, copies: int | Sequence[int]) -> list[int]:
    """Most runs of each op; 1 if another run would be of no use."""
    wanted = [copies] * len(graph.ops) if isinstance(copies, int) else list(copies)
    return [max(1, c) if worth_repeating(graph, op) else 1 for op, c in enumerate(wanted)]


def build_moccasin(
    graph: Graph, order: Sequence[int], copies: Sequence[int], encoding: Encoding, log_lengths: bool
) -> MoccasinModel:
    """Build variables and constraints. Stage s ends with the first run of the order's s-th op.

    The event of op k in stage s is s(s+1)/2 + k. If tensors are returned, one more stage may follow the last first run,
    so that they can be recomputed at the very end.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    stages = len(order) + bool(graph.returned)
    end_of_program = stages * (stages + 1) // 2
    horizon = max(int(_HORIZON_SLACK * end_of_program), end_of_program)
    runs = _runs(model, order, copies, stages)
    retention = Retention(graph, model, horizon, runs)
    spaced = log_spaced(horizon, _LENGTHS_PER_OP * len(order)) if log_lengths else range(1, horizon + 1)
    paired = {pair.source for row in graph.sharing for pair in row}

    def lengths(tensor: int) -> Any:
        if not log_lengths or tensor in paired or tensor in graph.returned:  # these need exact ends
            return cp_model.Domain(1, horizon)
        return cp_model.Domain.from_values(list(spaced))

    add_instances(retention, lengths)
    (_add_reservoirs if encoding == "reservoir" else add_service)(retention)
    add_returned(retention, end_of_program)
    unit = byte_unit(graph)
    total = sum(t.nbytes for t in graph.tensors) + sum(op.workspace for op in graph.ops)
    memory = model.new_int_var(0, max(copies, default=1) * total // unit, "")
    add_memory(retention, memory)
    costs = scale_costs(graph).ops
    repeats = sum(costs[run.op] * run.present for run in retention.all_runs() if run.index)
    return MoccasinModel(retention, memory, repeats, unit, end_of_program)


def _runs(model: Any, order: Sequence[int], copies: Sequence[int], stages: int) -> list[list[Run]]:
    from ortools.sat.python import cp_model

    always = model.new_constant(1)
    place = stage_position(order)
    runs: list[list[Run]] = []
    for op, count in enumerate(copies):
        k = place[op]
        later = [s * (s + 1) // 2 + k for s in range(k + 1, stages)]
        again = cp_model.Domain.from_values(later)
        first = Run(op, 0, k * (k + 1) // 2 + k, always)
        more = range(1, count if later else 1)
        runs.append(
            [first, *(Run(op, i, model.new_int_var_from_domain(again, ""), model.new_bool_var("")) for i in more)]
        )
    return runs


def log_spaced(horizon: int, count: int) -> list[int]:
    """At most ``count`` integer lengths from 1 to ``horizon``, evenly spaced on a logarithmic scale."""
    return sorted({1, horizon, *(int(x) for x in np.geomspace(1, horizon, max(count, 2)))} - {0})


def _add_reservoirs(retention: Retention) -> None:
    """Equation 5 by reservoirs: during its own event, a reader takes one unit, provided by a live copy."""
    model = retention.model
    for run in retention.all_runs():
        for tensor in retention.graph.reads[run.op]:
            instances = retention.instances[tensor]
            if len(instances) == 1:
                add_direct_read(retention, run, tensor)
                continue
            times = [time for i in instances for time in (i.start + 1, i.end)] + [run.start, run.start + 1]
            changes = [1, -1] * len(instances) + [-1, 1]
            active = [i.present for i in instances for _ in range(2)] + [run.present] * 2
            model.add_reservoir_constraint_with_active(times, changes, active, 0, len(instances) + 1)
