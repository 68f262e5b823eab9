"""Retention intervals: the constraint model of memory shared by the CP-SAT solvers.

Each possible run of an op is a start and a presence literal. Each tensor that it writes has an interval [start, end)
from that run on. MOCCASIN (Bartan et al., ICML 2023), equations 1-5, extended by the features of ``memopt-graph/1``:
several outputs per op, views, workspaces, in-place pairs, arena inputs and returned tensors, all counted exactly as
graph.liveness does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.remat.scaling import byte_unit


@dataclass(frozen=True, eq=False)
class Run:
    """A possible execution of ``op``, its ``index``-th. ``start`` is a constant or a variable."""

    op: int
    index: int
    start: Any
    present: Any


@dataclass(frozen=True, eq=False)
class Instance:
    """The bytes of ``tensor`` from a run (None: an arena input) until ``end``, exclusive.

    ``held``: true if the bytes are kept to the end of the program for the caller.
    """

    tensor: int
    run: Run | None
    start: Any
    end: Any
    present: Any
    held: Any = None


@dataclass
class Retention:
    """The model under construction. ``serves``: (reading run, tensor) -> [(instance, literal)]."""

    graph: Graph
    model: Any
    horizon: int
    runs: list[list[Run]]
    instances: dict[int, list[Instance]] = field(default_factory=dict)
    serves: dict[tuple[Run, int], list[tuple[Instance, Any]]] = field(default_factory=dict)

    def all_runs(self) -> Iterator[Run]:
        """Every possible run, op by op."""
        for runs in self.runs:
            yield from runs

    def schedule(self, value: Callable[[Any], int]) -> tuple[int, ...]:
        """The ops of a solution, sorted by start."""
        chosen = [(value(run.start), run.op) for run in self.all_runs() if value(run.present)]
        return tuple(op for _, op in sorted(chosen))


def worth_repeating(graph: Graph, op_id: int) -> bool:
    """Whether a second run of the op can be useful: it may run again, and something reads its outputs."""
    wanted = any(graph.readers[t] or t in graph.returned for t in graph.writes[op_id])
    return graph.ops[op_id].recomputable and wanted


def add_instances(retention: Retention, lengths: Callable[[int], Any]) -> None:
    """Add an interval for each tensor and run, ordered and disjoint. ``lengths`` gives a tensor's allowed lengths."""
    graph, model = retention.graph, retention.model
    for tensor_id, tensor in enumerate(graph.tensors):
        if graph.planned[tensor_id] and tensor.kind != "activation":
            end = model.new_int_var(1, retention.horizon, "")
            retention.instances[tensor_id] = [_instance(retention, tensor_id, None, 0, end, True)]
    for runs in retention.runs:
        for before, after in pairwise(runs):
            model.add_implication(after.present, before.present)
        for tensor_id in graph.writes[runs[0].op]:
            retention.instances[tensor_id] = [_written(retention, tensor_id, run, lengths(tensor_id)) for run in runs]
            for first, second in pairwise(retention.instances[tensor_id]):
                model.add(first.end <= second.start).only_enforce_if(second.present)


def _written(retention: Retention, tensor: int, run: Run, lengths: Any) -> Instance:
    model = retention.model
    size = model.new_int_var_from_domain(lengths, "")
    end = model.new_int_var(0, retention.horizon, "")
    model.add(run.start + size == end).only_enforce_if(run.present)
    return _instance(retention, tensor, run, run.start, end, run.present)


def _instance(retention: Retention, tensor: int, run: Run | None, start: Any, end: Any, present: Any) -> Instance:
    held = retention.model.new_bool_var("") if tensor in retention.graph.returned else None
    return Instance(tensor, run, start, end, present, held)


def add_returned(retention: Retention, end_of_program: Any) -> None:
    """Keep the newest instance of each returned tensor to the end of the program."""
    model = retention.model
    for tensor in sorted(retention.graph.returned):
        for instance in retention.instances[tensor]:
            model.add_implication(instance.held, instance.present)
            model.add(instance.end >= end_of_program).only_enforce_if(instance.held)
        model.add_exactly_one(instance.held for instance in retention.instances[tensor])


def add_service(retention: Retention) -> None:
    """Equation 5 by literals: each read is served by one live instance, and each repeat serves some read."""
    model = retention.model
    for run in retention.all_runs():
        for tensor in retention.graph.reads[run.op]:
            instances = retention.instances[tensor]
            if len(instances) == 1:
                add_direct_read(retention, run, tensor)
                continue
            literals = []
            for instance in instances:
                literal = model.new_bool_var("")
                model.add_implication(literal, instance.present)
                model.add_implication(literal, run.present)
                model.add(instance.start + 1 <= run.start).only_enforce_if(literal)
                model.add(run.start + 1 <= instance.end).only_enforce_if(literal)
                literals.append((instance, literal))
            model.add(sum(literal for _, literal in literals) == run.present)
            retention.serves[run, tensor] = literals
    _require_use(retention)


def add_direct_read(retention: Retention, run: Run, tensor: int) -> None:
    """Add a read of a tensor that only ever has one instance."""
    (instance,) = retention.instances[tensor]
    retention.model.add(run.start + 1 <= instance.end).only_enforce_if(run.present)
    if instance.run is not None:
        retention.model.add(instance.start + 1 <= run.start).only_enforce_if(run.present)


def _require_use(retention: Retention) -> None:
    uses: dict[Run, list[Any]] = {}
    for literals in retention.serves.values():
        for instance, literal in literals:
            if instance.run is not None:
                uses.setdefault(instance.run, []).append(literal)
    for instances in retention.instances.values():
        for instance in instances:
            if instance.run is not None and instance.held is not None:
                uses.setdefault(instance.run, []).append(instance.held)
    for run in retention.all_runs():
        if run.index:
            retention.model.add_bool_or(*uses.get(run, []), ~run.present)


def add_memory(retention: Retention, capacity: Any) -> None:
    """Equation 4: one cumulative constraint. ``capacity`` is in units of byte_unit(graph)."""
    graph, model, unit = retention.graph, retention.model, byte_unit(retention.graph)
    intervals: list[Any] = []
    demands: list[int] = []

    def hold(start: Any, size: Any, end: Any, present: Any, nbytes: int) -> None:
        if nbytes:
            intervals.append(model.new_optional_interval_var(start, size, end, present, ""))
            demands.append(nbytes // unit)

    released = _add_inplace(retention, hold)
    for instances in retention.instances.values():
        for instance in instances:
            end = _early_end(retention, instance, released.get(instance, []))
            size = model.new_int_var(0, retention.horizon, "")
            hold(instance.start, size, end, instance.present, graph.tensors[instance.tensor].nbytes)
    for run in retention.all_runs():
        hold(run.start, 1, run.start + 1, run.present, graph.ops[run.op].workspace)
    model.add_cumulative(intervals, demands, capacity)


def _early_end(retention: Retention, instance: Instance, released: Sequence[Any]) -> Any:
    """End of an instance for counting: one event earlier if it shares its bytes with an output of the op it dies in."""
    if not released:
        return instance.end
    end = retention.model.new_int_var(0, retention.horizon, "")
    retention.model.add(end == instance.end - sum(released))
    return end


def _add_inplace(retention: Retention, hold: Callable[[Any, Any, Any, Any, int], None]) -> dict[Instance, list[Any]]:
    """Add literals of in-place pairs. If true, the input dies in this run; its bytes beyond the output still count."""
    graph, model = retention.graph, retention.model
    released: dict[Instance, list[Any]] = {}
    for run in retention.all_runs():
        taken: dict[int, list[Any]] = {}
        for pair in graph.sharing[run.op]:
            for instance in retention.instances.get(pair.source, []):
                shares = model.new_bool_var("")
                model.add_implication(shares, run.present)
                model.add_implication(shares, instance.present)
                model.add(instance.end == run.start + 1).only_enforce_if(shares)
                if instance.held is not None:
                    model.add_implication(shares, ~instance.held)
                beyond = graph.tensors[pair.source].nbytes - pair.weight
                hold(run.start, 1, run.start + 1, shares, max(0, beyond))
                released.setdefault(instance, []).append(shares)
                if pair.distance is None:  # several inputs may overlap an output in different places
                    taken.setdefault(pair.target, []).append(shares)
        for literals in taken.values():
            model.add_at_most_one(literals)
    for literals in released.values():
        model.add_at_most_one(literals)
    return released
