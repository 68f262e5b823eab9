"""Plan one Relax module: extract each function's graph, solve, choose kernel forms, and emit the plan."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import tvm
import tvm_ffi
from tvm import relax, tirx

from tvm_memopt.errors import BudgetError, MemoptError, PlanError
from tvm_memopt.graph import Graph, Plan, io_nbytes, parse_budget, weight_nbytes
from tvm_memopt.passes.relax.apply import emit_function, inplace_form
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.inplace import Pairs
from tvm_memopt.passes.relax.plan_function import FunctionPlan, FunctionPlanner, Solver
from tvm_memopt.passes.relax.program import Program, UnsupportedFunctionError, parse_function
from tvm_memopt.passes.tir.cost import estimated_costs, measured_costs
from tvm_memopt.passes.tir.form_times import FormTimes
from tvm_memopt.passes.tir.workspace import Kernel, KernelForms, kernel_forms
from tvm_memopt.solvers import Request, solve
from tvm_memopt.targets import DeviceProfile

PLANNED_ATTR = "memopt.planned"
SPLIT_MODES = ("never", "free", "auto")
_OWN_LOOPS = "TVM's own loops"
_log = logging.getLogger("tvm_memopt")
KernelCosts = Callable[[Mapping[str, tirx.PrimFunc], tvm.target.Target], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of the pipeline.

    ``budget``: as in ``--budget``. ``caller_arena``: the arena is a uint8 parameter appended to each planned function
    that no other function calls. ``fold_data_movement``: ``"auto"`` folds padding and other data movement into the
    loops that read the result only where the memory is needed; ``"always"`` and ``"never"`` override this.
    ``split``: run the stages of a kernel band by band, so that a tensor between two stages is a band of it: ``"auto"``
    where that costs no run time or where the budget requires it; ``"free"`` only where it costs none; ``"never"``.
    ``measure_costs``: time each kernel on this machine instead of using the roofline. ``kernel_costs``: a function that
    replaces both; given PrimFuncs by name and a target, it returns seconds by name, as
    cost_model.network.kernel_costs.predicted_costs does. ``narrow``: cut the kernels of quantised models at narrow
    tensors: ``"auto"`` where that costs no run time or where the budget requires it; ``"always"`` and ``"never"``
    override this. ``overlap``: let outputs begin inside inputs that the kernel still reads: ``"auto"`` where that costs
    no run time or where the budget requires it; ``"always"`` and ``"never"`` override this. ``integer``: quantised
    operators accumulate in int32 and rescale in fixed point, as TFLite defines it; None: where the target has no
    floating-point unit. Results then differ from TVM's by at most one step for each operator. ``io_in_arena``:
    ``"inputs"``, ``"outputs"`` or both, separated by a comma: the arena holds them too.
    Outputs are then valid until the next call. ``strict``: raise an error if no function can be planned. ``device``:
    estimate kernel times by its rates, and say of each plan whether it fits its memory; without a budget, a plan that
    does not fit is searched once more, with what the device has left for the arena as its budget.
    """

    budget: str | int | None = None
    time_limit: float = 10.0
    seed: int = 0
    threads: int | None = None
    caller_arena: bool = False
    fold_data_movement: str = "auto"
    split: str = "auto"
    narrow: str = "auto"
    integer: bool | None = None
    overlap: str = "auto"
    io_in_arena: str = ""
    inplace: bool = True
    measure_costs: bool = False
    plan: Plan | None = None
    kernel_costs: KernelCosts | None = None
    strict: bool = False
    device: DeviceProfile | None = None
    within_device: bool = False

    @property
    def limited(self) -> bool:
        """Whether the arena has an upper limit."""
        return self.budget is not None or self.within_device

    def request(self, graph: Graph) -> Request:
        """The solver request for one function."""
        budget = None if self.budget is None else parse_budget(self.budget, graph)
        if self.within_device and budget is None and self.device is not None:
            budget = max(1, self.device.arena_limit(io_nbytes(graph), weight_nbytes(graph)))
        request = Request(budget_nbytes=budget, time_limit=self.time_limit, seed=self.seed)
        return request if self.threads is None else replace(request, threads=self.threads)


@dataclass(frozen=True)
class ExtractedModule:
    """The graph of each function. ``skipped``: unplanned functions with the reason; ``forms``: kernel forms by name."""

    functions: Mapping[str, Extraction]
    skipped: Mapping[str, str]
    forms: Mapping[str, KernelForms]


@dataclass(frozen=True)
class PlannedModule:
    """A module and the plan of each of its functions. The other fields are those of ExtractedModule."""

    mod: tvm.IRModule
    functions: Mapping[str, FunctionPlan]
    skipped: Mapping[str, str]
    forms: Mapping[str, KernelForms]

    @property
    def scratch_before(self) -> int:
        """Scratch bytes of TVM's own build: those of the kernel that needs most."""
        return max((f.original_nbytes for f in self.forms.values()), default=0)


def extract_module(
    mod: tvm.IRModule, target: tvm.target.Target, options: PlanOptions, solver: Solver = solve
) -> ExtractedModule:
    """Extract the graphs of all functions in a lowered module. ``solver`` plans the branches of each If."""
    return _extract(mod, target, options, solver)[0]


def _extract(
    mod: tvm.IRModule, target: tvm.target.Target, options: PlanOptions, solver: Solver
) -> tuple[ExtractedModule, FunctionPlanner]:
    if options.split not in SPLIT_MODES:
        raise MemoptError(f"split is {options.split!r}, expected one of {', '.join(SPLIT_MODES)}")
    programs, skipped = _parse_all(mod)
    called = {op.callee for program in programs.values() for op in program.all_operations() if op.callee}
    funcs = {name: mod[name] for name in sorted(called)}
    forms = kernel_forms(funcs, target)
    costs = _kernel_costs(funcs, target, options)
    allowed = {name: found.restricted(options.fold_data_movement, options.split) for name, found in forms.items()}
    kernels = {name: kernel for name, found in allowed.items() if (kernel := found.form(found.smallest)) is not None}
    times = FormTimes(allowed, target, loops="folded loops" if options.fold_data_movement == "always" else _OWN_LOOPS)
    planner = FunctionPlanner(kernels, costs, times, options, solver)
    functions = {name: planner.extract(program) for name, program in programs.items()}
    return ExtractedModule(functions, skipped, forms), planner


def _kernel_costs(
    funcs: Mapping[str, tirx.PrimFunc], target: tvm.target.Target, options: PlanOptions
) -> dict[str, float]:
    if options.kernel_costs is not None:
        return options.kernel_costs(funcs, target)
    if options.measure_costs:
        return measured_costs(funcs, target)
    return estimated_costs(funcs, target, options.device.rates if options.device is not None else None)


def solve_module(
    mod: tvm.IRModule, target: tvm.target.Target, options: PlanOptions, solver: Solver = solve
) -> PlannedModule:
    """Plan all functions of a lowered module. ``mod`` is not rewritten."""
    extracted, planner = _extract(mod, target, options, solver)
    if not extracted.functions:
        _nothing_planned(extracted.skipped, options)
    _require_function(options.plan, extracted)
    functions = {name: planner.plan(extraction) for name, extraction in extracted.functions.items()}
    return PlannedModule(mod, functions, extracted.skipped, extracted.forms)


def unplanned_reason(skipped: Mapping[str, str]) -> str:
    """One line on why no function of a module is planned."""
    reasons = "; ".join(f"function {name}: {reason}" for name, reason in skipped.items())
    return f"nothing of this module can be planned ({reasons or 'it has no Relax function'})"


def _nothing_planned(skipped: Mapping[str, str], options: PlanOptions) -> None:
    if options.budget is not None:
        raise BudgetError(f"{unplanned_reason(skipped)}, so no budget can be kept")
    if options.strict:
        raise MemoptError(f"{unplanned_reason(skipped)}: without the strict option it is compiled as TVM does")
    _log.warning("%s: it is compiled as TVM does", unplanned_reason(skipped))


def _require_function(plan: Plan | None, extracted: ExtractedModule) -> None:
    graphs = [e.graph.name for e in extracted.functions.values()]
    if plan is not None and plan.graph not in graphs:
        expected = " or ".join(graphs) or "none, since nothing is planned"
        raise PlanError(f"the plan is for graph {plan.graph!r}, expected {expected}")


def _parse_all(mod: tvm.IRModule) -> tuple[dict[str, Program], dict[str, str]]:
    programs, skipped = {}, {}
    for variable, function in mod.functions_items():
        if not isinstance(function, relax.Function):
            continue
        if function.attrs is not None and PLANNED_ATTR in function.attrs:
            skipped[variable.name_hint] = "it is planned already"
            continue
        try:
            programs[variable.name_hint] = parse_function(mod, variable)
        except UnsupportedFunctionError as reason:
            skipped[variable.name_hint] = str(reason)
    return programs, skipped


def emit_module(mod: tvm.IRModule, planned: PlannedModule, *, caller_arena: bool) -> tvm.IRModule:
    """Rewrite ``mod`` to follow the plans of ``planned``, and remove kernels that are no longer called."""
    wanted: dict[tuple[str, int, Pairs], Kernel] = {}
    for function in (plan for whole in planned.functions.values() for plan in whole.with_branches()):
        for name, pairs in _calls(function):
            kernel = function.kernels[name]
            wanted[(name, id(kernel), pairs)] = kernel
    kept = _still_called(mod, planned)
    entered = _called_functions(mod)
    builder = relax.BlockBuilder(_without(mod, {name for name, _, _ in wanted} - kept))
    callees = {
        key: builder.add_func(inplace_form(kernel, key[2]), _kernel_name(key, kept)) for key, kernel in wanted.items()
    }
    result = builder.get()
    for name, function in planned.functions.items():
        one = relax.BlockBuilder(_without(result, {name}))
        owned = caller_arena and name not in entered  # other functions call it with its original parameters
        emitted = emit_function(one, function, callees, caller_owned=owned)
        functions = {v: f for v, f in one.get().functions_items() if v.name_hint != name}
        variable = mod.get_global_var(name)
        result = tvm.IRModule({**functions, variable: emitted.with_attr(PLANNED_ATTR, 1)}, attrs=mod.attrs)
    return result


def _calls(function: FunctionPlan) -> list[tuple[str, Pairs]]:
    found = []
    for step, op_id in enumerate(function.plan.schedule):
        callee = function.extraction.operations[op_id].callee
        if callee is not None:
            found.append((callee, function.inplace[step]))
    return found


def _kernel_name(key: tuple[str, int, Pairs], kept: set[str]) -> str:
    name, _, pairs = key
    return name + ("_planned" if name in kept else "") + ("_inplace" if pairs else "")


def _still_called(mod: tvm.IRModule, planned: PlannedModule) -> set[str]:
    """Kernels called from code that is not rewritten: skipped functions and unplanned branches of an If."""
    found: set[str] = set()

    def note(variable: tvm.ir.GlobalVar) -> None:
        found.add(variable.name_hint)

    for variable, function in mod.functions_items():
        if isinstance(function, relax.Function) and variable.name_hint not in planned.functions:
            tvm_ffi.structural_walk(function, (tvm.ir.GlobalVar, note))
    for plan in (plan for whole in planned.functions.values() for plan in whole.with_branches()):
        for op_id, operation in enumerate(plan.extraction.operations):
            if operation.kind == "other" and op_id not in plan.extraction.branches:
                tvm_ffi.structural_walk(operation.value, (tvm.ir.GlobalVar, note))
    return found


def _called_functions(mod: tvm.IRModule) -> set[str]:
    """Relax functions that other functions in the module call."""
    found: set[str] = set()
    for _, function in mod.functions_items():
        if isinstance(function, relax.Function):
            tvm_ffi.structural_walk(function, (tvm.ir.GlobalVar, lambda v: found.add(v.name_hint)))
    return {v.name_hint for v, f in mod.functions_items() if isinstance(f, relax.Function)} & found


def _without(mod: tvm.IRModule, names: set[str]) -> tvm.IRModule:
    kept = {v: f for v, f in mod.functions_items() if v.name_hint not in names}
    return tvm.IRModule(kept, attrs=mod.attrs)


def kernel_functions(mod: tvm.IRModule) -> dict[str, tirx.PrimFunc]:
    """The PrimFuncs of ``mod`` by name."""
    return {v.name_hint: f for v, f in mod.functions_items() if isinstance(f, tirx.PrimFunc)}
