"""Assertions for test suites of compilers and models: valid plans, small arenas, unchanged outputs.

    from tvm_memopt import testing

    def test_my_model_fits():
        planned, plan = mo.optimize(mod, "llvm")
        testing.assert_same_outputs(mod, planned)
        testing.assert_arena_below(planned, 512 * 1024)

Each raises AssertionError with one line that says what was found, or MemoptError if the check cannot be made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Allocation, Graph, Plan, find_violations, graph_from_json, plan_from_json

if TYPE_CHECKING:
    import numpy as np
    import tvm


def assert_valid(
    mod_or_plan: tvm.IRModule | Plan, graph: Graph | None = None, target: str | tvm.target.Target = "llvm"
) -> None:
    """Assert that a plan is valid: a Plan for ``graph``, or the plans stored in a planned module.

    A planned module is one that ``mo.optimize`` returned. Any other module is planned first.
    """
    for found_graph, plan in _graphs_and_plans(mod_or_plan, graph, target):
        violations = find_violations(found_graph, plan)
        assert not violations, f"plan of {plan.graph!r} breaks {len(violations)} rules: {violations[0]}"


def assert_arena_below(mod: tvm.IRModule, nbytes: int, target: str | tvm.target.Target = "llvm") -> None:
    """Assert that each function's arena, measured by the storage in its code, has at most ``nbytes`` bytes."""
    for name, arena in arena_nbytes(_planned(mod, target)).items():
        assert arena <= nbytes, f"function {name!r}: the arena has {arena} bytes, expected at most {nbytes}"


def assert_same_outputs(
    mod: tvm.IRModule,
    optimized: tvm.IRModule,
    inputs: Sequence[np.ndarray] | None = None,
    *,
    target: str | tvm.target.Target = "llvm",
    seeds: Sequence[int] = (0, 1),
    exec_modes: Sequence[str] = ("bytecode", "compiled"),
) -> None:
    """Assert that ``optimized`` gives bit-identical outputs to TVM's own build of ``mod``.

    ``inputs``: one array per parameter; by default random ones, once for each of ``seeds``. ``exec_modes``: modes of
    the virtual machine to test.
    """
    from tvm import relax

    from tvm_memopt.frontends import random_inputs
    from tvm_memopt.passes.build import build_unmodified
    from tvm_memopt.passes.compile import make_target
    from tvm_memopt.runtime import outputs_equal, run_module

    chosen = make_target(target)
    samples = [list(inputs)] if inputs is not None else [random_inputs(mod, seed) for seed in seeds]
    for mode in exec_modes:
        expected = build_unmodified(mod, chosen, exec_mode=mode)
        found = relax.build(optimized, chosen, exec_mode=mode)
        for index, sample in enumerate(samples):
            same = outputs_equal(run_module(found, sample), run_module(expected, sample))
            assert same, f"outputs differ from the unmodified build ({mode} mode, input set {index})"


def arena_nbytes(mod: tvm.IRModule) -> dict[str, int]:
    """Bytes of storage that each planned function of ``mod`` allocates, excluding returned tensors."""
    from tvm import relax

    from tvm_memopt.passes.relax.planning import PLANNED_ATTR
    from tvm_memopt.passes.relax.storage import arena_storage_nbytes

    functions = {v.name_hint: f for v, f in mod.functions_items() if isinstance(f, relax.Function)}
    planned = {n: f for n, f in functions.items() if f.attrs is not None and PLANNED_ATTR in f.attrs}
    if not planned:
        raise MemoptError("the module has no planned function: expected one that mo.optimize returned")
    return {name: arena_storage_nbytes(function) for name, function in planned.items()}


def dead_after(graph: Graph, plan: Plan) -> list[tuple[int, int, int]]:
    """List (kernel call, offset, nbytes): arena bytes that are dead after each kernel call, for poison_run.

    Views run no kernel. Bytes that an output of the last call uses are left out.
    """
    call_of = _kernel_calls(graph, plan)
    events = []
    born: dict[int, list[Allocation]] = {}
    for a in plan.allocations:
        if a.tensor is not None and a.nbytes:
            born.setdefault(a.first, []).append(a)
    for a in plan.allocations:
        if a.last >= len(plan.schedule) - 1 or not a.nbytes or call_of[a.last] < 0:
            continue
        ranges = [(a.offset, a.end)]
        for new in born.get(a.last, ()) if a.first < a.last else ():
            pieces = [[(low, min(high, new.offset)), (max(low, new.end), high)] for low, high in ranges]
            ranges = [(low, high) for pair in pieces for low, high in pair if low < high]
        events += [(call_of[a.last], low, high - low) for low, high in ranges]
    return events


def _kernel_calls(graph: Graph, plan: Plan) -> list[int]:
    """For each step, the number of kernel calls up to its end, minus one."""
    calls, count = [], -1
    for op_id in plan.schedule:
        op = graph.ops[op_id]
        makes_view = len(op.outputs) == 1 and graph.tensors[op.outputs[0]].alias_of is not None
        count += not makes_view
        calls.append(count)
    return calls


def _planned(mod: tvm.IRModule, target: str | tvm.target.Target) -> tvm.IRModule:
    from tvm_memopt.api import optimize
    from tvm_memopt.passes.relax.planning import PLANNED_ATTR

    is_planned = any(f.attrs is not None and PLANNED_ATTR in f.attrs for _, f in mod.functions_items())
    return mod if is_planned else optimize(mod, target)[0]


def _graphs_and_plans(
    found: tvm.IRModule | Plan, graph: Graph | None, target: str | tvm.target.Target
) -> list[tuple[Graph, Plan]]:
    if isinstance(found, Plan):
        if graph is None:
            raise MemoptError("a plan is judged for a graph: pass it as the second argument")
        return [(graph, found)]
    from tvm_memopt.passes.relax.documents import GRAPH_ATTR, PLAN_ATTR

    pairs = []
    for _, function in _planned(found, target).functions_items():
        attrs = function.attrs
        if attrs is not None and GRAPH_ATTR in attrs:
            pairs.append((graph_from_json(str(attrs[GRAPH_ATTR])), plan_from_json(str(attrs[PLAN_ATTR]))))
    if not pairs:
        raise MemoptError("the module carries no plan: expected one that mo.optimize returned")
    return pairs
