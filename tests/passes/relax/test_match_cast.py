"""match_cast: shapes that are known at run time only, planned around and bounded where a bound is given."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R
from tvm.script import tirx as T

from tests.passes.relax.running import HOST, MODES, arena_tensors, extracted, optimised, random_arrays
from tvm_memopt import testing
from tvm_memopt.graph import find_violations
from tvm_memopt.passes.build import build_planned, build_unmodified
from tvm_memopt.passes.compile import lower, plan_lowered
from tvm_memopt.passes.pipeline import reorder_calls
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import measure_memory, outputs_equal, run_module


@pytest.fixture(scope="module", autouse=True)
def packed_functions():
    @tvm.register_global_func("memopt_test.positive_rows", override=True)
    def positive_rows(value):
        rows = value.numpy()
        return tvm.runtime.tensor(np.ascontiguousarray(rows[rows[:, 0] > 0]))

    yield
    tvm_ffi.registry.remove_global_func("memopt_test.positive_rows")


@I.ir_module
class Rows:
    """The rows of a static tensor that a packed function keeps, and static work on both sides of it."""

    @R.function
    def main(x: R.Tensor((32, 64), "float32"), w: R.Tensor((64, 64), "float32")):
        m = T.int64()
        y = R.matmul(x, w)
        z = R.nn.softmax(y)
        kept = R.call_pure_packed("memopt_test.positive_rows", y, ty_args=R.Tensor(dtype="float32", ndim=2))
        rows = R.match_cast(kept, R.Tensor((m, 64), "float32"))
        a = R.matmul(rows, w)
        b = R.nn.softmax(a)
        c = R.matmul(R.nn.softmax(R.matmul(z, w)), w)
        return (R.add(b, a), c)


@I.ir_module
class NonZero:
    """The indices of a tensor that are not zero: TVM's own call, which only reads."""

    @R.function
    def main(x: R.Tensor((32, 64), "float32"), w: R.Tensor((64, 64), "float32")):
        m = T.int64()
        y = R.nn.relu(R.matmul(x, w))
        found = R.match_cast(R.nonzero(y), R.Tensor((2, m), "int64"))
        twice = R.add(found, found)
        z = R.nn.softmax(R.matmul(R.nn.softmax(R.matmul(y, w)), w))
        return (R.multiply(twice, found), z)


@I.ir_module
class OfInput:
    """A parameter of unknown size that must be a matrix of 64 columns, then one of 32 rows."""

    @R.function
    def main(x: R.Tensor(dtype="float32", ndim=2), w: R.Tensor((64, 64), "float32")):
        m = T.int64()
        rows = R.match_cast(x, R.Tensor((m, 64), "float32"))
        flat = R.reshape(R.matmul(rows, w), (m * 64,))
        a = R.nn.softmax(R.matmul(w, w))
        return R.matmul(R.reshape(R.nn.softmax(flat), (m, 64)), a)


def inputs_with(rows: int) -> list[np.ndarray]:
    """A matrix of which so many rows (of 32) are positive, and weights that are the identity."""
    matrix = np.abs(random_arrays([(32, 64)])[0])
    matrix[rows:] *= -1
    return [matrix, np.eye(64, dtype="float32")]


SIZES = {
    Rows: [inputs_with(rows) for rows in (0, 1, 7, 32)],
    NonZero: [inputs_with(rows) for rows in (0, 3, 32)],
    OfInput: [random_arrays([(rows, 64), (64, 64)]) for rows in (1, 5, 300)],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("module", SIZES, ids=lambda m: m.__name__)
def test_every_size_at_run_time_gives_equal_outputs(module, mode):
    planned, plan = optimised(module)
    testing.assert_valid(planned)
    assert plan.arena_nbytes > 0
    found, stock = relax.build(planned, HOST, exec_mode=mode), build_unmodified(module, HOST, exec_mode=mode)
    for inputs in SIZES[module]:
        assert outputs_equal(run_module(found, inputs), run_module(stock, inputs))


@pytest.mark.slow
@pytest.mark.parametrize("module", [NonZero, OfInput], ids=lambda m: m.__name__)
def test_the_arena_is_the_plans_at_every_size(module):
    build = build_planned(module, HOST, PlanOptions(time_limit=1))
    found = build.planned.functions["main"]
    assert found.beside_arena
    assert found.arena_position == 1
    for inputs in SIZES[module]:
        storages = measure_memory(build.executable, inputs).storages
        assert storages[found.arena_position].nbytes == found.plan.arena_nbytes
    assert not find_violations(found.graph, found.plan)


def test_what_has_a_bound_is_planned_and_the_rest_is_left_to_tvm_with_a_note():
    found = extracted(Rows)
    assert arena_tensors(found.graph) == {"matmul", "softmax"}
    assert not found.graph.planned[found.graph.ops[0].outputs[0]]  # the packed function has seen it
    assert any("no upper bound" in note for note in found.notes)


def test_a_call_that_only_reads_leaves_its_argument_in_the_arena():
    found = extracted(NonZero)
    (call,) = (op for op in found.graph.ops if op.name == "nonzero")
    assert any(found.graph.planned[t] for t in call.inputs)


def test_what_uses_a_dimension_runs_after_the_match_that_defines_it():
    for module in SIZES:
        found = extracted(module)
        (match,) = (i for i, o in enumerate(found.operations) if o.kind == "match")
        assert not found.graph.ops[match].recomputable
        named = found.operations[match].matched
        users = [
            i
            for i, op in enumerate(found.graph.ops)
            if any(found.variable_of.get(t) in found.program.buffers and _symbolic(found, t, named) for t in op.outputs)
        ]
        assert users
        assert all(match in found.graph.predecessors[i] for i in users)


def _symbolic(found, tensor, matched):
    from tvm_memopt.passes.relax.program import symbolic_variables

    shape = found.program.buffers[found.variable_of[tensor]].args[0]
    return bool({*symbolic_variables(shape)} & {*symbolic_variables(matched)})


@I.ir_module
class Again:
    """A planned tensor that is matched, in the form after lowering: earlier passes drop such a match."""

    @R.function
    def main(x: R.Tensor((300,), "float32")) -> R.Tensor((300,), "float32"):
        R.func_attr({"relax.force_pure": True})
        y = R.builtin.alloc_tensor(R.shape([300]), R.dtype("float32"), 0, R.str("global"))
        _ = Again.twice(x, y)
        z = R.match_cast(y, R.Tensor((300,), "float32"))
        u = R.builtin.alloc_tensor(R.shape([300]), R.dtype("float32"), 0, R.str("global"))
        _1 = Again.twice(z, u)
        return u

    @T.prim_func(private=True, s_tir=True)
    def twice(A: T.Buffer((300,), "float32"), B: T.Buffer((300,), "float32")):
        for i in range(300):
            B[i] = A[i] * T.float32(2)


def test_the_value_that_is_matched_is_computed_once_and_shares_its_bytes():
    with HOST:
        planned = plan_lowered(Again, HOST, PlanOptions(time_limit=1))
    found = planned.functions["main"].extraction
    (match,) = (i for i, o in enumerate(found.operations) if o.kind == "match")
    (source,) = found.graph.ops[match].inputs
    (result,) = found.graph.ops[match].outputs
    assert found.graph.root[result] == source
    assert found.graph.planned[source]
    assert not found.graph.ops[found.graph.producer[source]].recomputable
    (x,) = random_arrays([(300,)])
    (computed,) = run_module(relax.build(planned.mod, HOST), [x])
    np.testing.assert_array_equal(computed, 4 * x)


@I.ir_module
class Bounded:
    @R.function
    def main(x: R.Tensor(("n", 64), "float32"), w: R.Tensor((64, 64), "float32")):
        R.func_attr({"tir_var_upper_bound": {"n": 32, "m": 16}})
        m = T.int64()
        y = R.matmul(x, w)
        kept = R.call_pure_packed("memopt_test.positive_rows", y, ty_args=R.Tensor(dtype="float32", ndim=2))
        rows = R.match_cast(kept, R.Tensor((m, 64), "float32"))
        return R.matmul(R.nn.softmax(R.matmul(rows, w)), w)


def test_a_bound_of_a_dimension_that_is_matched_is_planned_for():
    planned, plan = optimised(Bounded)
    assert plan.arena_nbytes == 2 * 16 * 64 * 4
    built, stock = relax.build(planned, HOST), build_unmodified(Bounded, HOST)
    for rows in (0, 5, 16):
        inputs = inputs_with(rows)
        assert outputs_equal(run_module(built, inputs), run_module(stock, inputs))
    with pytest.raises(Exception, match="dimension m is above 16"):
        run_module(built, inputs_with(17))


def test_a_bound_of_a_parameter_is_not_that_of_another_dimension_of_its_name():
    module = tvm.IRModule({v: _renamed(f) for v, f in Bounded.functions_items()})
    found = extracted(module)
    assert arena_tensors(found.graph) == set()
    planned, _ = optimised(module)
    built, stock = relax.build(planned, HOST), build_unmodified(module, HOST)
    inputs = inputs_with(30)
    assert outputs_equal(run_module(built, inputs), run_module(stock, inputs))


def _renamed(function):
    """Dimension m is another variable with the name n."""
    from tvm_memopt.passes.relax.program import symbolic_variables

    (binding,) = [b for k in function.body.blocks for b in k.bindings if isinstance(b, relax.MatchCast)]
    (matched,) = symbolic_variables(binding.ty)
    other = tvm.tirx.Var("n", "int64")
    renamed = tvm_ffi.structural_map(function, (tvm.tirx.Var, lambda v: other if v.same_as(matched) else v))
    return renamed.with_attr("tir_var_upper_bound", {"n": 32})


def test_calls_alone_are_reordered_around_a_match():
    lowered, target = lower(Rows, HOST)
    with target:
        module = reorder_calls(PlanOptions(time_limit=1))(lowered)
    built, stock = relax.build(module, HOST), build_unmodified(Rows, HOST)
    inputs = inputs_with(9)
    assert outputs_equal(run_module(built, inputs), run_module(stock, inputs))


@I.ir_module
class InBranch:
    @R.function
    def main(x: R.Tensor((32, 64), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((32, 32), "float32"):
        y = R.nn.softmax(x)
        if c:
            m = T.int64()
            u = R.nn.relu(R.matmul(y, R.permute_dims(x)))
            found = R.match_cast(R.nonzero(u), R.Tensor((2, m), "int64"))
            total = R.sum(R.astype(R.add(found, found), "float32"), axis=[0, 1], keepdims=True)
            z = R.add(u, total)
        else:
            z = R.matmul(R.nn.softmax(y), R.permute_dims(y))
        return R.nn.relu(R.matmul(z, z))


@pytest.mark.parametrize("condition", [True, False])
def test_a_match_in_a_branch_is_planned_around(condition):
    build = build_planned(InBranch, HOST, PlanOptions(time_limit=1))
    function = build.planned.functions["main"]
    assert len(list(function.with_branches())) == 3
    x = random_arrays([(32, 64)])[0].astype("float64")
    e = np.exp(x)
    y = e / e.sum(axis=1, keepdims=True)
    u = np.maximum(y @ x.T, 0)
    s = np.exp(y)
    z = u + 2 * np.sum(np.nonzero(u)) if condition else s / s.sum(axis=1, keepdims=True) @ y.T
    inputs = [x.astype("float32"), np.array(condition)]
    np.testing.assert_allclose(run_module(build.executable, inputs)[0], np.maximum(z @ z, 0), rtol=1e-4)
    storages = measure_memory(build.executable, inputs).storages
    assert storages[function.arena_position].nbytes == function.plan.arena_nbytes
