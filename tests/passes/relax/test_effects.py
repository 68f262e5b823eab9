"""Calls that the planner knows little about: packed functions, in-place kernels, library calls."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R
from tvm.script import tirx as T

from tests.passes.relax.running import (
    HOST,
    MODES,
    arena_tensors,
    assert_planned_right,
    extracted,
    optimised,
    outputs,
    random_arrays,
)
from tvm_memopt.passes.build import build_unmodified


@pytest.fixture(scope="module", autouse=True)
def packed_functions():
    @tvm.register_global_func("memopt_test.half", override=True)
    def half(source, result):
        result.copyfrom(source.numpy() * np.float32(0.5))

    @tvm.register_global_func("memopt_test.same", override=True)
    def same(source):
        return source

    @tvm.register_global_func("memopt_test.increment", override=True)
    def increment(value):
        value.copyfrom(value.numpy() + np.float32(1))
        return value

    yield
    for name in ("half", "same", "increment"):
        tvm_ffi.registry.remove_global_func(f"memopt_test.{name}")


X = random_arrays([(64, 64)])


@I.ir_module
class Library:
    @R.function(pure=False)
    def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
        y = R.add(x, x)
        z = R.call_dps_packed("memopt_test.half", (y,), out_ty=R.Tensor((64, 64), "float32"))
        w = R.exp(z)
        return R.matmul(w, R.nn.relu(y))


def test_tensors_of_an_unknown_call_are_left_to_tvm():
    found = extracted(Library)
    (packed,) = (i for i, o in enumerate(found.operations) if o.kind == "other")
    op = found.graph.ops[packed]
    assert not any(found.graph.planned[t] for t in (*op.inputs, *op.outputs))
    assert not op.recomputable
    assert arena_tensors(found.graph) == {"tir_exp", "relu"}


def test_an_unknown_call_between_kernels_gives_equal_outputs():
    assert_planned_right(Library, X)


@I.ir_module
class Alias:
    @R.function(pure=False)
    def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
        y = R.exp(x)
        same = R.call_packed("memopt_test.same", y, ty_args=R.Tensor((64, 64), "float32"))
        a = R.matmul(x, x)
        b = R.matmul(a, a)
        return R.add(b, same)


def assert_computes(module, expected, tolerance=1e-2):
    """Against numpy: TVM's own storage planner does not see that a call may return its argument."""
    planned, _ = optimised(module)
    for mode in MODES:
        (found,) = outputs(relax.build(planned, HOST, exec_mode=mode), X)
        np.testing.assert_allclose(found, expected, atol=tolerance)


def test_what_a_call_returns_may_be_what_it_was_given():
    x = X[0].astype("float64")
    square = x @ x
    assert_computes(Alias, square @ square + np.exp(x))


@I.ir_module
class Mutated:
    @R.function(pure=False)
    def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
        a = R.add(x, x)
        w = R.matmul(a, a)
        s = R.sum(R.concat([a, a, a, a], axis=0), axis=0, keepdims=True)
        _ = R.call_packed("memopt_test.increment", x, ty_args=R.Tensor((64, 64), "float32"))
        b = R.multiply(x, x)
        d = R.add(b, R.add(w, s))
        return R.add(d, b)


def test_a_call_that_changes_an_input_of_the_function_keeps_its_place():
    found = extracted(Mutated)
    position = next(i for i, o in enumerate(found.operations) if o.kind == "other")
    readers = [i for i, o in enumerate(found.graph.ops) if 0 in o.inputs and i != position]
    before = [i for i in readers if i < position]
    assert before
    assert set(before) <= set(found.graph.predecessors[position])
    assert all(position in found.graph.predecessors[i] for i in readers if i > position)
    assert_planned_right(Mutated, X)


@I.ir_module
class MutatedHidden:
    @R.function(pure=False)
    def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
        y = R.nn.relu(x)
        a = R.exp(y)
        b = R.call_packed("memopt_test.increment", y, ty_args=R.Tensor((64, 64), "float32"))
        c = R.exp(y)
        d = R.call_packed("memopt_test.increment", y, ty_args=R.Tensor((64, 64), "float32"))
        return R.add(R.add(a, c), R.multiply(b, d))


def test_effects_stay_in_order_and_around_the_kernels_that_see_them():
    found = extracted(MutatedHidden)
    order = [i for i, o in enumerate(found.operations) if o.kind == "other"]
    assert all(a in found.graph.predecessors[b] for a, b in pairwise(order))
    assert not any(found.graph.ops[i].recomputable for i in order)
    x = np.maximum(X[0].astype("float64"), 0)
    assert_computes(MutatedHidden, np.exp(x) + np.exp(x + 1) + (x + 2) * (x + 2))


@I.ir_module
class Chain:
    @R.function
    def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
        with R.dataflow():
            a = R.matmul(x, x)
            b = R.add(a, R.const(1.0, "float32"))
            c = R.nn.relu(b)
            d = R.multiply(c, c)
            e = R.matmul(d, x)
            f = R.nn.silu(e)
            g = R.add(f, d)
            R.output(g)
        return g


def test_tvms_own_in_place_calls_are_overwrites_in_order():
    module = relax.transform.DataflowUseInplaceCalls()(Chain)
    found = extracted(module)
    tensors = found.graph.tensors
    writers = [o for o in found.graph.ops if all(tensors[t].name.startswith("order") for t in o.outputs)]
    assert writers
    assert not any(o.recomputable for o in writers)
    assert_planned_right(module, X)


@I.ir_module
class Overwritten:
    @R.function
    def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
        cls = Overwritten
        y = R.matmul(x, x)
        before = R.sum(y, axis=0, keepdims=True)
        z = R.call_tir_inplace(cls.bump, (y,), inplace_indices=[0], out_ty=R.Tensor((64, 64), "float32"))
        after = R.matmul(z, x)
        return R.add(after, before)

    @T.prim_func(private=True, s_tir=True)
    def bump(A: T.Buffer((64, 64), "float32")):
        for i, j in T.grid(64, 64):
            with T.sblock("bump"):
                vi, vj = T.axis.remap("SS", [i, j])
                A[vi, vj] = A[vi, vj] + T.float32(1)


def test_readers_of_a_buffer_that_is_overwritten_keep_their_side():
    found = extracted(Overwritten)
    names = [o.name for o in found.graph.ops]
    bump, before = names.index("bump"), names.index("sum")
    after = max(i for i, n in enumerate(names) if n.startswith("matmul"))
    assert before in found.graph.predecessors[bump]
    assert bump in found.graph.predecessors[after]
    assert_planned_right(Overwritten, X)


def test_library_calls_of_tvm_fill_planned_buffers():
    @I.ir_module
    class Sorted:
        @R.function
        def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
            y = R.matmul(x, x)
            ranked = R.sort(y, axis=-1)
            return R.matmul(ranked, x)

    found = extracted(Sorted)
    assert len(arena_tensors(found.graph)) == 2
    assert_planned_right(Sorted, X)


def test_the_unmodified_build_is_really_another_one():
    planned, plan = optimised(Library)
    stock = build_unmodified(Library, HOST)
    assert plan.arena_nbytes > 0
    assert planned["main"].attrs["memopt.planned"] == 1
    assert [a.tobytes() for a in outputs(stock, X)] == [a.tobytes() for a in outputs(relax.build(planned, HOST), X)]
