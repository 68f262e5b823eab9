"""Inputs and outputs inside the arena: lifetimes, offsets for the caller, and equal outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm
from tvm import relax

import tvm_memopt as mo
from tests.passes.relax.networks import residual_network
from tests.passes.relax.running import HOST, SECONDS, assert_planned_right
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import find_violations, io_offsets
from tvm_memopt.passes.build import build_planned
from tvm_memopt.passes.compile import compile_module
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import measure_memory, run_module


def planned(mod: tvm.IRModule, kinds: str, **options: object):
    options = PlanOptions(time_limit=SECONDS, io_in_arena=kinds, **options)
    return compile_module(mod, HOST, options).planned.functions["main"]


def inputs_of(mod: tvm.IRModule, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = [[int(d) for d in p.ty.shape.values] for p in mod["main"].params]
    return [generator.standard_normal(shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize("kinds", ["inputs", "outputs", "inputs,outputs"])
@pytest.mark.parametrize("caller_arena", [False, True])
def test_outputs_are_those_of_tvm(kinds: str, caller_arena: bool) -> None:
    mod = residual_network()
    if not caller_arena:
        assert_planned_right(mod, modes=("bytecode",), io_in_arena=kinds)
        return
    options = PlanOptions(time_limit=SECONDS, io_in_arena=kinds, caller_arena=True)
    build = build_planned(mod, HOST, options)
    nbytes = build.planned.functions["main"].plan.arena_nbytes
    inputs = inputs_of(mod)
    expected = run_module(tvm.compile(mod, HOST), inputs)
    found = run_module(build.executable, [*inputs, np.zeros(nbytes, np.uint8)])
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_inputs_and_outputs_count_in_the_graph() -> None:
    found = planned(residual_network(), "inputs,outputs")
    graph, plan = found.graph, found.plan
    entering = [i for i, t in enumerate(graph.tensors) if t.kind == "input"]
    assert all(graph.tensors[i].arena for i in entering)
    assert graph.returned
    firsts = {a.tensor: a.first for a in plan.allocations}
    lasts = {a.tensor: a.last for a in plan.allocations}
    assert all(firsts[i] == 0 for i in entering)
    assert all(lasts[i] == len(plan.schedule) - 1 for i in graph.returned)


def test_the_checker_rejects_an_input_that_is_overwritten_too_early() -> None:
    found = planned(residual_network(), "inputs,outputs")
    graph, plan = found.graph, found.plan
    for kind in ("input", "returned"):
        chosen = next(
            a
            for a in plan.allocations
            if a.tensor is not None
            and (a.tensor in graph.returned if kind == "returned" else graph.tensors[a.tensor].kind == "input")
        )
        cut = replace(chosen, last=chosen.first) if kind == "input" else replace(chosen, last=chosen.last - 1)
        others = [a for a in plan.allocations if a is not chosen]
        rules = {v.rule for v in find_violations(graph, replace(plan, allocations=(*others, cut)))}
        assert rules & ({"not-live"} if kind == "input" else {"returned-not-live", "bad-steps"})
        gone = {v.rule for v in find_violations(graph, replace(plan, allocations=tuple(others)))}
        assert gone & {"missing-input", "missing-output"}


def test_a_caller_finds_its_values_at_the_given_offsets() -> None:
    mod = residual_network()
    build = build_planned(mod, HOST, PlanOptions(time_limit=SECONDS, io_in_arena="inputs,outputs", caller_arena=True))
    found = build.planned.functions["main"]
    places = io_offsets(found.graph, found.plan)
    arena = tvm.runtime.empty((found.plan.arena_nbytes,), "uint8", tvm.cpu())
    machine = relax.VirtualMachine(build.executable, tvm.cpu())
    inputs = inputs_of(mod)
    result = machine["main"](*[tvm.runtime.tensor(x) for x in inputs], arena).numpy()
    (offset,) = places["outputs"].values()
    held = arena.numpy()[offset : offset + result.nbytes]
    assert held.tobytes() == result.tobytes()
    assert set(places["inputs"]) == {p.name for p in mod["main"].params}


def test_the_module_allocates_the_arena_alone() -> None:
    mod = residual_network()
    build = build_planned(mod, HOST, PlanOptions(time_limit=SECONDS, io_in_arena="inputs,outputs"))
    measured = measure_memory(build.executable, inputs_of(mod))
    assert [s.nbytes for s in measured.storages] == [build.planned.functions["main"].plan.arena_nbytes]


def test_a_returned_input_stays_outside_unless_outputs_are_inside() -> None:
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((64,), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit(relax.op.exp(x))
            z = builder.emit_output(relax.Tuple([x, builder.emit(relax.op.exp(y))]))
        builder.emit_func_output(z)
    mod = builder.get()
    for kinds, inside in (("inputs", False), ("inputs,outputs", True)):
        assert_planned_right(mod, modes=("bytecode",), io_in_arena=kinds)
        assert planned(mod, kinds).graph.tensors[0].arena is inside


def test_float_plans_are_unchanged_without_the_option() -> None:
    graph = planned(residual_network(), "").graph
    assert not any(t.arena for t in graph.tensors if t.kind == "input")
    assert not graph.returned


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(MemoptError, match="expected inputs, outputs, or both"):
        mo.optimize(residual_network(), HOST, io_in_arena="weights")
