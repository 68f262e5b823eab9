"""Plan one function: first the branches of each If, then the function, with each branch arena as workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tvm.ir import Var

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Plan
from tvm_memopt.graph.io_offsets import parse_io_kinds
from tvm_memopt.passes.relax.branch_results import made_results
from tvm_memopt.passes.relax.extract import Extraction, extract_program
from tvm_memopt.passes.relax.inplace import Pairs, called_kernels, with_overlaps
from tvm_memopt.passes.relax.overlap.plan import overlap_notes, plan_with_overlaps
from tvm_memopt.passes.relax.plan_forms import (
    FormedPlan,
    follow_plan,
    form_notes,
    plan_in_smallest_forms,
    plan_with_forms,
)
from tvm_memopt.passes.relax.program import Program, symbolic_variables
from tvm_memopt.passes.relax.unfold import Unfolded
from tvm_memopt.passes.tir.form_times import FormTimes
from tvm_memopt.passes.tir.workspace import Kernel
from tvm_memopt.solvers import Request

if TYPE_CHECKING:
    from tvm_memopt.passes.relax.planning import PlanOptions

Solver = Callable[[Graph, Request], Plan]
OVERLAP_MODES = ("auto", "always", "never")
_BRANCHES_SHARE = 0.5  # of a function's time limit, for all branches together
_LEAST_SHARE = 0.25  # of the time limit, for the function itself, however long its branches took


@dataclass(frozen=True)
class FunctionPlan:
    """The graph and plan of one function, or of one branch of an If.

    ``extraction``: maps them to the IR. ``inplace``: by step, the pairs of parameters that share an offset.
    ``unfolded``: kernels that run in a faster form, with the offsets of their scratch. ``kernels``: the form in which
    each kernel is emitted. ``folds``: notes on the memory saved and the time lost by each kernel that does not run in
    TVM's own loops.
    """

    graph: Graph
    plan: Plan
    notes: tuple[str, ...]
    extraction: Extraction
    inplace: tuple[Pairs, ...]
    unfolded: Mapping[str, Unfolded]
    kernels: Mapping[str, Kernel]
    folds: tuple[str, ...] = ()

    def with_branches(self) -> Iterator[FunctionPlan]:
        """This plan and the plans of all branches in it."""
        yield self
        for plans in self.extraction.branches.values():
            for plan in plans:
                yield from plan.with_branches()

    @property
    def beside_arena(self) -> bool:
        """Whether a call may allocate memory other than the arena and the returned tensors."""
        return any(_allocates_beside(plan.extraction) for plan in self.with_branches())

    @property
    def arena_position(self) -> int:
        """Index of the arena among the storages of a call. The virtual machine keeps symbolic dimensions in an
        earlier one."""
        program = self.extraction.program
        matched = [op.matched for op in program.all_operations() if op.kind == "match"]
        symbolic = [v for node in (*(p.ty for p in program.parameters), *matched) for v in symbolic_variables(node)]
        return 1 if symbolic else 0


def _allocates_beside(found: Extraction) -> bool:
    graph, operations = found.graph, enumerate(found.operations)
    calls = any(o.kind in ("reading", "other") and i not in found.branches for i, o in operations)
    returned = {graph.root[tensor] for tensor in graph.outputs}
    buffers = {found.tensor_of[v] for v in found.program.buffers if v in found.tensor_of} - returned
    return calls or _returns_beside(found) or any(not graph.tensors[tensor].arena for tensor in buffers)


def _returns_beside(found: Extraction) -> bool:
    """Whether a branch makes a result tensor that has no offset in the outer arena."""
    for op_id, plans in found.branches.items():
        made = [_made_variables(plan.extraction) for plan in plans]
        result = found.operations[op_id].result
        whole = [found.tensor_of[result]] if result in found.tensor_of else []
        places = [t for key, t in found.fields.items() if key[0].same_as(result)] or whole
        outputs = {found.graph.root[t] for t in found.graph.outputs}
        placed = [t for t in places if found.graph.tensors[t].arena or t in outputs]
        if any(len(variables) > len(placed) for variables in made):
            return True
    return False


def _made_variables(branch: Extraction) -> list[Var]:
    return [variable for variable in made_results(branch) if variable is not None]


@dataclass(frozen=True)
class FunctionPlanner:
    """Plans functions of one module. ``kernels`` and ``costs``: by kernel name; ``times``: of kernel forms."""

    kernels: Mapping[str, Kernel]
    costs: Mapping[str, float]
    times: FormTimes
    options: PlanOptions
    solver: Solver

    def extract(self, program: Program) -> Extraction:
        """Extract the graph of ``program`` and plan its branches."""
        if self.options.overlap not in OVERLAP_MODES:
            raise MemoptError(f"overlap is {self.options.overlap!r}, expected one of {', '.join(OVERLAP_MODES)}")
        count = sum(2 for operation in program.all_operations() if operation.branches is not None)
        io_in_arena = parse_io_kinds(self.options.io_in_arena)
        found = self._extract(program, _BRANCHES_SHARE * self.options.time_limit / max(count, 1), io_in_arena)
        always = self.options.inplace and self.options.overlap == "always"
        return with_overlaps(found, called_kernels(found)) if always else found

    def _extract(self, program: Program, seconds: float, io_in_arena: frozenset[str] = frozenset()) -> Extraction:
        found: dict[int, tuple[FunctionPlan, FunctionPlan]] = {}
        for op_id, operation in enumerate(program.operations):
            if operation.branches is not None:
                first, second = (self._extract(branch, seconds) for branch in operation.branches)
                if not first.touches_outside and not second.touches_outside:
                    found[op_id] = (self._plan_branch(first, seconds), self._plan_branch(second, seconds))
        return extract_program(
            program, self.kernels, self.costs, inplace=self.options.inplace, branches=found, io_in_arena=io_in_arena
        )

    def _plan_branch(self, extraction: Extraction, seconds: float) -> FunctionPlan:
        request = replace(self.options, budget=None, within_device=False, time_limit=seconds).request(extraction.graph)
        if self.options.limited:
            found = plan_in_smallest_forms(extraction, self.times, self.solver, request, inplace=self.options.inplace)
            return self._function_plan(found)
        return self._function_plan(self._search(extraction, request))

    def plan(self, extraction: Extraction) -> FunctionPlan:
        """The plan of a whole function: given by the options, or found by search."""
        given, options = self.options.plan, self.options
        if given is None or given.graph != extraction.graph.name:
            return self._function_plan(self._search(extraction, self._request(extraction)))
        extraction = _with_given_workspaces(extraction, given, self)
        if options.inplace:
            extraction = with_overlaps(extraction, called_kernels(extraction))
        return self._function_plan(follow_plan(extraction, given, self.times, inplace=options.inplace))

    def _request(self, extraction: Extraction) -> Request:
        """The function's request, with the time spent on its branches subtracted from the limit."""
        request = self.options.request(extraction.graph)
        plans = [plan.plan for pair in extraction.branches.values() for each in pair for plan in each.with_branches()]
        spent = sum(float(plan.solver.get("seconds", 0.0)) for plan in plans)  # type: ignore[arg-type]
        least = _LEAST_SHARE * request.time_limit
        return replace(request, time_limit=max(request.time_limit - spent, least)) if plans else request

    def _search(self, extraction: Extraction, request: Request) -> FormedPlan:
        free, inplace = self.options.split == "free", self.options.inplace

        def plan(found: Extraction, wanted: Request) -> FormedPlan:
            return plan_with_forms(found, self.times, self.solver, wanted, inplace=inplace, free_splits=free)

        if not inplace or self.options.overlap != "auto":
            return plan(extraction, request)
        return plan_with_overlaps(extraction, self.times, plan, request)

    def _function_plan(self, found: FormedPlan) -> FunctionPlan:
        kernels = {**found.extraction.kernels, **{name: u.kernel for name, u in found.unfolded.items()}}
        inner = [fold for pair in found.extraction.branches.values() for plan in pair for fold in plan.folds]
        return FunctionPlan(
            found.extraction.graph,
            found.plan,
            (*found.extraction.notes, *_kept_scratch(kernels)),
            found.extraction,
            found.inplace,
            found.unfolded,
            kernels,
            tuple(dict.fromkeys([*form_notes(found, self.times), *overlap_notes(found), *inner])),
        )


def _with_given_workspaces(extraction: Extraction, plan: Plan, planner: FunctionPlanner) -> Extraction:
    """Give each If the workspace it has in ``plan``, which may be more than its branches need."""
    steps = range(len(plan.schedule))
    held = {plan.schedule[a.first]: a.nbytes for a in plan.allocations if a.tensor is None and a.first in steps}
    given = {op_id: held[op_id] for op_id in extraction.branches if op_id in held}
    if not given:
        return extraction
    return extract_program(
        extraction.program,
        planner.kernels,
        planner.costs,
        inplace=planner.options.inplace,
        branches=extraction.branches,
        branch_nbytes=given,
        io_in_arena=extraction.io_in_arena,
    )


def _kept_scratch(kernels: Mapping[str, Kernel]) -> list[str]:
    """Notes on scratch memory that kernels allocate at run time, outside the arena."""
    return [
        f"kernel {name} allocates {kernel.kept_nbytes} bytes of scratch itself, outside the arena"
        for name, kernel in kernels.items()
        if kernel.kept_nbytes
    ]
