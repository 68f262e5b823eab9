"""The plan checker: is a plan valid for a graph? It shares no code with the solvers or with liveness.

Each rule of ``memopt-plan/1`` is one function that yields its violations. All rules are always checked, so one
report lists every violation.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from tvm_memopt.errors import PlanError, Violation
from tvm_memopt.graph.model import Graph
from tvm_memopt.graph.overlap import overlapping
from tvm_memopt.graph.plan import Allocation, Plan

_COST_TOLERANCE = 1e-9


def check(graph: Graph, plan: Plan) -> None:
    """Raise PlanError, with all violations of ``memopt-plan/1``, if ``plan`` is not valid for ``graph``."""
    violations = find_violations(graph, plan)
    if violations:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise PlanError(f"plan for graph {plan.graph!r} is not valid: {violations[0]}{more}", violations)


def find_violations(graph: Graph, plan: Plan) -> list[Violation]:
    """Return all violations, each with its rule, step, op and bytes. O(edges + allocations·log live) if valid."""
    found = [*_check_header(graph, plan), *_check_schedule(graph, plan), *_check_allocations(graph, plan)]
    if any(v.rule in ("unknown-op", "unknown-tensor", "bad-steps") for v in found):
        return found
    view = _View(graph, plan)
    found += [*_check_order(view), *_check_writes(view), *_check_reads(view), *_check_returned(view)]
    found += [*_check_dead(view), *_check_overlap(view), *_check_totals(view), *_check_proofs(plan)]
    return found


@dataclass
class _View:
    """The plan, indexed by tensor and by step."""

    graph: Graph
    plan: Plan
    instances: dict[int, list[Allocation]] = field(default_factory=dict)
    opened: dict[tuple[int | None, int], list[Allocation]] = field(default_factory=dict)
    returned: set[int] = field(default_factory=set)
    overlaps: list[tuple[Allocation, Allocation, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for allocation in sorted(self.plan.allocations, key=lambda a: a.first):
            self.opened.setdefault((allocation.tensor, allocation.first), []).append(allocation)
            if allocation.tensor is not None:
                self.instances.setdefault(allocation.tensor, []).append(allocation)
        self.returned = {root for t in self.graph.outputs if (root := self.base(t)) is not None}
        self.overlaps = list(overlapping(self.plan.allocations))

    def base(self, tensor: int) -> int | None:
        """The arena tensor that holds the bytes of ``tensor``, or None if the planner does not own them."""
        parent = self.graph.tensors[tensor].alias_of
        while parent is not None:
            tensor, parent = parent, self.graph.tensors[parent].alias_of
        return tensor if self.graph.tensors[tensor].arena else None

    def label(self, tensor: int | None) -> str:
        return "a workspace" if tensor is None else f"tensor {tensor} ({self.graph.tensors[tensor].name})"

    def read_by(self, tensor: int, step: int) -> Allocation | None:
        """The instance that a read of ``tensor`` at ``step`` sees: the newest one written before that step."""
        instances = self.instances.get(tensor, [])
        is_input = self.graph.tensors[tensor].kind != "activation"
        older = bisect_left(instances, max(step, 1) if is_input else step, key=lambda a: a.first)
        return instances[older - 1] if older else None


def _check_header(graph: Graph, plan: Plan) -> Iterator[Violation]:
    if plan.graph != graph.name:
        yield Violation("wrong-graph", f"the plan is for graph {plan.graph!r}, expected {graph.name!r}")
    if plan.alignment < 1 or plan.alignment % graph.alignment:
        text = f"alignment is {plan.alignment}, expected a multiple of the graph's {graph.alignment}"
        yield Violation("alignment", text, nbytes=plan.alignment)


def _check_schedule(graph: Graph, plan: Plan) -> Iterator[Violation]:
    runs = [0] * len(graph.ops)
    for step, op in enumerate(plan.schedule):
        if not 0 <= op < len(graph.ops):
            yield Violation("unknown-op", f"no such op, the graph has {len(graph.ops)}", step, op)
            continue
        runs[op] += 1
        if runs[op] == 2 and not graph.ops[op].recomputable:
            yield Violation("not-recomputable", f"{graph.ops[op].name} must run exactly once", step, op)
    for op, count in enumerate(runs):
        if count == 0:
            yield Violation("missing-op", f"{graph.ops[op].name} never runs", op=op)


def _check_allocations(graph: Graph, plan: Plan) -> Iterator[Violation]:
    steps = len(plan.schedule)
    for a in plan.allocations:
        if a.tensor is not None and not 0 <= a.tensor < len(graph.tensors):
            yield Violation("unknown-tensor", f"allocation names tensor {a.tensor}", a.first)
            continue
        if not 0 <= a.first <= a.last < steps:
            yield Violation("bad-steps", f"held from step {a.first} to {a.last}, the plan has {steps} steps", a.first)
            continue
        what = f"tensor {a.tensor}" if a.tensor is not None else "a workspace"
        if a.offset < 0:
            yield Violation("negative-offset", f"{what} lies at offset {a.offset}", a.first, nbytes=a.offset)
        elif a.offset % max(plan.alignment, 1):
            text = f"{what} lies at offset {a.offset}, expected a multiple of {plan.alignment}"
            yield Violation("misaligned", text, a.first, nbytes=a.offset)
        if a.tensor is not None:
            tensor = graph.tensors[a.tensor]
            if not tensor.arena or tensor.alias_of is not None:
                owner = "those of another tensor" if tensor.alias_of is not None else "not in the arena"
                text = f"{what} has an allocation, but its bytes are {owner}"
                yield Violation("not-planned", text, a.first, nbytes=a.nbytes)
            if a.nbytes != tensor.nbytes:
                text = f"{what} has {a.nbytes} bytes, expected {tensor.nbytes}"
                yield Violation("wrong-size", text, a.first, nbytes=a.nbytes)


def _check_order(view: _View) -> Iterator[Violation]:
    """Check dependences.

    An op must run after the producers of its inputs, of the tensors that its inputs alias, and of the tensors that
    its outputs alias, whether or not the planner owns those bytes.
    """
    tensors = view.graph.tensors
    exists = [tensor.kind != "activation" for tensor in tensors]
    for step, op_id in enumerate(view.plan.schedule):
        op = view.graph.ops[op_id]
        needed = dict.fromkeys((*op.inputs, *(p for t in op.outputs if (p := tensors[t].alias_of) is not None)))
        own = set(op.outputs)
        for tensor in needed:
            current: int | None = tensor
            while current is not None and (exists[current] or current in own):
                current = tensors[current].alias_of
            if current is not None:
                text = f"needs {view.label(current)} before it exists"
                yield Violation("not-produced", text, step, op_id, tensors[current].nbytes)
        for tensor in op.outputs:
            exists[tensor] = True


def _check_writes(view: _View) -> Iterator[Violation]:
    expected: set[tuple[int | None, int]] = set()
    for step, op_id in enumerate(view.plan.schedule):
        op = view.graph.ops[op_id]
        for output in (t for t in op.outputs if view.base(t) == t):
            expected.add((output, step))
            if (output, step) not in view.opened:
                nbytes = view.graph.tensors[output].nbytes
                yield Violation("missing-output", f"{view.label(output)} has no allocation", step, op_id, nbytes)
        if op.workspace:
            expected.add((None, step))
            held = view.opened.get((None, step), [])
            if not any(a.last == step and a.nbytes == op.workspace for a in held):
                text = "the workspace has no allocation of its size for just this step"
                yield Violation("missing-workspace", text, step, op_id, op.workspace)
    for tensor_id, tensor in enumerate(view.graph.tensors):
        if tensor.kind == "activation":
            continue
        expected.add((tensor_id, 0))
        if view.plan.schedule and view.base(tensor_id) == tensor_id and (tensor_id, 0) not in view.opened:
            text = f"{view.label(tensor_id)} is a graph {tensor.kind} in the arena and has no allocation at step 0"
            yield Violation("missing-input", text, 0, nbytes=tensor.nbytes)
    yield from _check_spurious(view, expected)


def _check_spurious(view: _View, expected: set[tuple[int | None, int]]) -> Iterator[Violation]:
    for (tensor, step), held in view.opened.items():
        if (tensor, step) not in expected:
            text = f"{view.label(tensor)} has an allocation that nothing writes at its first step"
            yield Violation("spurious", text, step, view.plan.schedule[step], held[0].nbytes)
        elif len(held) > 1:
            text = f"{view.label(tensor)} is allocated {len(held)} times"
            yield Violation("duplicate", text, step, view.plan.schedule[step], held[1].nbytes)


def _check_reads(view: _View) -> Iterator[Violation]:
    for step, op_id in enumerate(view.plan.schedule):
        for tensor in dict.fromkeys(map(view.base, view.graph.ops[op_id].inputs)):
            instance = None if tensor is None else view.read_by(tensor, step)
            if instance is not None and instance.last < step:  # a missing instance violates another rule
                text = f"reads {view.label(tensor)}, which is held only to step {instance.last}"
                yield Violation("not-live", text, step, op_id, instance.nbytes)


def _check_returned(view: _View) -> Iterator[Violation]:
    final = len(view.plan.schedule) - 1
    for tensor in sorted(view.returned) if final >= 0 else ():
        instances, nbytes = view.instances.get(tensor, []), view.graph.tensors[tensor].nbytes
        if not instances or instances[-1].last != final:
            text = f"{view.label(tensor)} is returned but not held to the last step"
            yield Violation("returned-not-live", text, final, nbytes=nbytes)


def _check_dead(view: _View) -> Iterator[Violation]:
    read: set[int] = set()
    for step, op_id in enumerate(view.plan.schedule):
        for tensor in map(view.base, view.graph.ops[op_id].inputs):
            if tensor is not None and (instance := view.read_by(tensor, step)) is not None:
                read.add(id(instance))
    for tensor, instances in view.instances.items():
        kept = {id(instances[-1])} if tensor in view.returned else set()
        for a in instances:
            if id(a) not in read and id(a) not in kept and a.last > a.first:
                text = f"{view.label(tensor)} is never read but held to step {a.last}"
                yield Violation("held-too-long", text, a.first, view.plan.schedule[a.first], a.nbytes)


def _check_overlap(view: _View) -> Iterator[Violation]:
    for old, new, shared in view.overlaps:
        if not _may_share(view, old, new):
            text = (
                f"{view.label(old.tensor)} at [{old.offset}, {old.end}) and {view.label(new.tensor)} "
                f"at [{new.offset}, {new.end}) share {shared} bytes"
            )
            yield Violation("overlap", text, new.first, view.plan.schedule[new.first], shared)


def _may_share(view: _View, one: Allocation, other: Allocation) -> bool:
    """Whether two overlapping allocations are a pair in ``inplace`` of the op at the step where they meet."""
    return _is_inplace(view, one, other) or _is_inplace(view, other, one)


def _is_inplace(view: _View, source: Allocation, target: Allocation) -> bool:
    if source.last != target.first or source.tensor is None:
        return False
    if source.tensor in view.returned and source is view.instances[source.tensor][-1]:
        return False  # a returned instance stays live to the end of the program
    op = view.graph.ops[view.plan.schedule[target.first]]
    above = source.offset - target.offset
    return any(
        view.base(pair[0]) == source.tensor
        and pair[1] == target.tensor
        and (above == 0 if len(pair) == 2 else above >= pair[2])
        for pair in op.inplace
    )


def _check_totals(view: _View) -> Iterator[Violation]:
    plan = view.plan
    arena = max((a.end for a in plan.allocations), default=0)
    if plan.arena_nbytes != arena:
        text = f"arena_nbytes is {plan.arena_nbytes}, the allocations end at {arena}"
        yield Violation("wrong-arena", text, nbytes=arena)
    peak = max(_held(view), default=0)
    if plan.peak_live_nbytes != peak:
        text = f"peak_live_nbytes is {plan.peak_live_nbytes}, the allocations hold {peak}"
        yield Violation("wrong-peak", text, nbytes=peak)
    ops = view.graph.ops
    for key, found, expected in (
        ("cost", plan.cost, math.fsum(ops[op].cost for op in plan.schedule)),
        ("base_cost", plan.base_cost, math.fsum(op.cost for op in ops)),
    ):
        if not math.isclose(found, expected, rel_tol=_COST_TOLERANCE, abs_tol=1e-15):
            yield Violation("wrong-cost", f"{key} is {found}, expected {expected}")


def _held(view: _View) -> list[int]:
    """Bytes held at each step. Bytes shared by an in-place pair count once."""
    change = [0] * (len(view.plan.schedule) + 1)
    for a in view.plan.allocations:
        change[a.first] += a.nbytes
        change[a.last + 1] -= a.nbytes
    held = list(accumulate(change[:-1]))
    for old, new, shared in view.overlaps:
        if _may_share(view, old, new):
            held[new.first] -= shared
    return held


def _check_proofs(plan: Plan) -> Iterator[Violation]:
    fits = plan.budget_nbytes is None or plan.arena_nbytes <= plan.budget_nbytes
    if plan.status in ("optimal", "feasible") and not fits:
        text = f"status is {plan.status!r} but the arena is over the budget of {plan.budget_nbytes}"
        yield Violation("over-budget", text, nbytes=plan.arena_nbytes)
    if plan.lower_bound_nbytes is not None and plan.lower_bound_nbytes > plan.arena_nbytes:
        text = f"lower_bound_nbytes is {plan.lower_bound_nbytes}, above the arena of {plan.arena_nbytes}"
        yield Violation("wrong-bound", text, nbytes=plan.lower_bound_nbytes)
    if plan.cost_bound is not None and plan.cost_bound > plan.cost * (1 + _COST_TOLERANCE):
        yield Violation("wrong-bound", f"cost_bound is {plan.cost_bound}, above the cost of {plan.cost}")
    proved_size = plan.lower_bound_nbytes == plan.arena_nbytes
    proved_cost = plan.cost_bound is not None and math.isclose(plan.cost_bound, plan.cost, rel_tol=_COST_TOLERANCE)
    if plan.status == "optimal" and not (proved_cost if plan.budget_nbytes is not None else proved_size):
        yield Violation("unproved", "status is 'optimal' but the bound does not meet the value")
    if plan.status == "infeasible":
        bound, budget = plan.lower_bound_nbytes, plan.budget_nbytes
        if bound is None or budget is None or bound <= budget:
            text = f"status is 'infeasible' but the bound {bound} is not above the budget {budget}"
            yield Violation("unproved", text, nbytes=bound)
