"""The emitted module: equal outputs, and the memory that was planned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op
from tvm.script import ir as I
from tvm.script import relax as R

from tests.passes.relax import networks
from tests.passes.relax.running import (
    HOST,
    MODES,
    assert_planned_right,
    extracted,
    one_function,
    optimised,
    random_arrays,
    run_twice,
    tensor,
)
from tvm_memopt import testing
from tvm_memopt.graph import Graph, Plan, find_violations, graph_from_json
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.relax.apply import ARENA_PARAMETER
from tvm_memopt.passes.relax.documents import GRAPH_ATTR
from tvm_memopt.runtime import measure_memory, outputs_equal, poison_run, run_module

SHAPES = {"residual": [(1, 4, 10, 10)], "transformer": [(12, 24)], "branches": [(16, 24), (24, 8)], "chain": [(32, 32)]}


@dataclass(frozen=True)
class Case:
    """A network, planned and compiled in both modes, beside TVM's own build."""

    inputs: list[np.ndarray]
    graph: Graph
    plan: Plan
    planned: tvm.IRModule
    builds: dict[str, tuple[object, object]]


@pytest.fixture(scope="module", params=networks.NETWORKS)
def case(request):
    module = networks.NETWORKS[request.param]()
    planned, plan = optimised(module)
    builds = {
        mode: (relax.build(planned, HOST, exec_mode=mode), build_unmodified(module, HOST, exec_mode=mode))
        for mode in MODES
    }
    graph = graph_from_json(str(planned["main"].attrs[GRAPH_ATTR]))
    return Case(random_arrays(SHAPES[request.param]), graph, plan, planned, builds)


@pytest.fixture(scope="module")
def measured(case):
    return [measure_memory(built, case.inputs) for built in case.builds["bytecode"]]


@pytest.mark.parametrize("mode", MODES)
def test_networks_keep_their_outputs(case, mode):
    assert outputs_equal(*(run_module(built, case.inputs) for built in case.builds[mode]))


def test_the_arena_that_is_allocated_is_the_planned_one(case, measured):
    planned, _ = measured
    assert not find_violations(case.graph, case.plan)
    assert testing.arena_nbytes(case.planned)["main"] == case.plan.arena_nbytes > 0
    assert (planned.arena_nbytes, planned.storage_nbytes) == (case.plan.arena_nbytes, case.plan.arena_nbytes)
    assert planned.growth_nbytes == 0


def test_a_planned_build_takes_no_more_memory_than_tvms(measured):
    planned, stock = measured
    assert planned.workspace_requested_nbytes == 0
    assert planned.peak_nbytes <= stock.peak_nbytes


def test_bytes_that_the_plan_calls_dead_are_dead(case):
    found = poison_run(case.builds["bytecode"][0], case.inputs, testing.dead_after(case.graph, case.plan))
    assert found.clean
    assert found.arena_nbytes == case.plan.arena_nbytes


@pytest.mark.parametrize(("name", "mode"), [("residual", "bytecode"), ("branches", "compiled")])
def test_an_arena_of_the_caller_gives_equal_outputs_over_two_calls(name, mode):
    module = networks.NETWORKS[name]()
    planned, plan = optimised(module, caller_arena=True)
    parameter = planned["main"].params[-1]
    assert parameter.name == ARENA_PARAMETER
    assert int(parameter.ty.shape.values[0]) == plan.arena_nbytes
    inputs = random_arrays(SHAPES[name])
    dirty = np.full(plan.arena_nbytes, 255, "uint8")
    expected = b"".join(a.tobytes() for a in run_module(build_unmodified(module, HOST, exec_mode=mode), inputs))
    built = relax.build(planned, HOST, exec_mode=mode)
    assert run_twice(built, [*inputs, dirty]) == [expected, expected]
    assert measure_memory(built, [*inputs, dirty]).storage_nbytes == 0


@pytest.mark.parametrize("mode", MODES)
def test_outputs_of_one_call_outlive_the_next(case, mode):
    first, again = run_twice(case.builds[mode][0], case.inputs)
    assert first == again


def test_every_kind_of_returned_value():
    @I.ir_module
    class Returned:
        @R.function
        def main(x: R.Tensor((64, 64), "float32")):
            y = R.add(x, x)
            z = R.exp(y)
            flat = R.reshape(R.nn.relu(z), (4096,))
            again = R.reshape(flat, (2, 2048))
            return (x, z, z, (flat, again), R.const([1.0, 2.0], "float32"), R.matmul(y, y))

    assert_planned_right(Returned, random_arrays([(64, 64)]))


@pytest.mark.parametrize("what", ["input", "constant", "view of an input"])
def test_a_function_that_computes_nothing_is_planned(what):
    x = tensor("x", (4, 6))
    body = {
        "input": lambda b: x,
        "constant": lambda b: relax.const(np.ones(3, "float32")),
        "view of an input": lambda b: op.reshape(x, (24,)),
    }[what]
    _, plan = assert_planned_right(one_function([x], body), random_arrays([(4, 6)]))
    assert plan.arena_nbytes == 0


def test_in_place_chains_use_the_memory_of_one_tensor():
    @I.ir_module
    class InPlace:
        @R.function
        def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
            a = R.matmul(x, x)
            b = R.nn.relu(a)
            c = R.add(b, R.const(1.0, "float32"))
            d = R.multiply(c, x)
            return R.matmul(d, x)

    planned, plan = assert_planned_right(InPlace, random_arrays([(64, 64)]), MODES[:1])
    assert plan.arena_nbytes == 64 * 64 * 4
    assert sum("_inplace" in v.name_hint for v, _ in planned.functions_items()) == 3
    assert optimised(InPlace, inplace=False)[1].arena_nbytes == 2 * 64 * 64 * 4


def test_an_in_place_output_of_another_shape_lies_over_its_input():
    @I.ir_module
    class Reshaped:
        @R.function
        def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((4096,), "float32"):
            a = R.matmul(x, x)
            b = R.reshape(a, (4096,))
            c = R.exp(b)
            return R.nn.softmax(c)

    _, plan = assert_planned_right(Reshaped, random_arrays([(64, 64)]), MODES[1:])
    assert plan.arena_nbytes < 3 * 64 * 64 * 4


@pytest.mark.parametrize("dtype", ["float16", "int8", "float64", "int32", "bool", "bfloat16"])
def test_other_element_types(dtype):
    x, y = tensor("x", (33, 65), dtype), tensor("y", (33, 65), dtype)

    def body(b: relax.BlockBuilder) -> relax.Expr:
        mix = op.logical_and if dtype == "bool" else op.add
        first = b.emit(op.concat([b.emit(mix(x, y)), y], axis=0))
        turned = b.emit(op.permute_dims(b.emit(mix(first, first))))
        parts = b.emit(op.split(b.emit(op.reshape(turned, (66, 65))), 2, axis=0))
        left, right = (b.emit(relax.TupleGetItem(parts, i)) for i in range(2))
        return b.emit(mix(b.emit(mix(left, right)), y))

    assert_planned_right(one_function([x, y], body), modes=MODES[:1])


def test_a_comparison_and_a_choice_mix_element_types():
    x, y = tensor("x", (40, 40)), tensor("y", (40, 40))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        product = b.emit(op.matmul(x, y))
        larger = b.emit(op.greater(product, x))
        chosen = b.emit(op.where(larger, product, y))
        whole = b.emit(op.astype(b.emit(op.matmul(chosen, x)), "int32"))
        return relax.Tuple([larger, whole, b.emit(op.astype(whole, "float16"))])

    assert_planned_right(one_function([x, y], body), modes=MODES[:1])


def test_empty_tensors_take_no_bytes():
    @I.ir_module
    class Empty:
        @R.function
        def main(x: R.Tensor((0, 4), "float32"), y: R.Tensor((3, 4), "float32")):
            a = R.exp(R.add(x, x))
            b = R.nn.relu(R.concat([a, y], axis=0))
            c = R.matmul(b, R.permute_dims(b))
            return (R.matmul(c, b), R.concat([a, a], axis=0))

    inputs = [np.zeros((0, 4), "float32"), *random_arrays([(3, 4)])]
    _, plan = assert_planned_right(Empty, inputs, MODES[:1])
    assert 0 < plan.arena_nbytes <= 3 * 64


@pytest.mark.parametrize("caller_arena", [False, True])
def test_a_function_of_empty_tensors_alone_has_an_empty_arena(caller_arena):
    @I.ir_module
    class AllEmpty:
        @R.function
        def main(x: R.Tensor((0, 4), "float32")) -> R.Tensor((0, 8), "float32"):
            a = R.exp(R.add(x, x))
            return R.concat([a, x], axis=1)

    planned, plan = optimised(AllEmpty, caller_arena=caller_arena)
    assert plan.arena_nbytes == 0
    arena = [np.zeros(0, "uint8")] if caller_arena else []
    (found,) = run_module(relax.build(planned, HOST), [np.zeros((0, 4), "float32"), *arena])
    assert found.shape == (0, 8)


def test_a_view_at_an_offset_keeps_its_part():
    @I.ir_module
    class Part:
        @R.function
        def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((32, 64), "float32"):
            y = R.add(x, x)
            half = R.memory.view(y, R.shape([32, 64]), R.dtype("float32"), R.prim_value(8192))
            moved = R.memory.ensure_zero_offset(half)
            z = R.exp(moved)
            return R.matmul(z, x)

    assert_planned_right(Part, random_arrays([(64, 64)]), MODES[:1])


def test_parameters_keep_their_names_and_the_function_its_attributes():
    module = networks.branches_and_joins()
    module["main"] = module["main"].with_attr("my.attribute", 7)
    planned, _ = optimised(module)
    assert [p.name for p in planned["main"].params] == ["x", "y"]
    assert planned["main"].attrs["my.attribute"] == 7
    assert planned["main"].attrs["global_symbol"] == "main"


def test_extraction_does_not_change_the_users_module():
    module = networks.transformer_block()
    before = module.script(show_meta=True)
    optimised(module)
    extracted(module)
    assert module.script(show_meta=True) == before


def test_a_tuple_of_tensors_may_be_a_parameter():
    @I.ir_module
    class Tuples:
        @R.function
        def main(pair: R.Tuple(R.Tensor((64, 64), "float32"), R.Tensor((64, 64), "float32"))):
            first, second = pair[0], pair[1]
            product = R.matmul(first, second)
            return (R.matmul(R.nn.relu(product), first), pair[1])

    planned, plan = optimised(Tuples)
    assert plan.arena_nbytes > 0
    arrays = random_arrays([(64, 64)] * 2)
    machine = relax.VirtualMachine(relax.build(planned, HOST), tvm.cpu())
    found, same = machine["main"](tuple(map(tvm.runtime.tensor, arrays)))
    first, second = (a.astype("float64") for a in arrays)
    np.testing.assert_allclose(found.numpy(), np.maximum(first @ second, 0) @ first, rtol=1e-3, atol=1e-3)
    assert same.numpy().tobytes() == arrays[1].tobytes()
