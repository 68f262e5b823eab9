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
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.runtime import outputs_equal, run_module

BOUND = 16


@I.ir_module
class Bounded:
    @R.function
    def main(x: R.Tensor(("n", 64), "float32"), w: R.Tensor((64, 64), "float32")) -> R.Tensor(("n", 64), "float32"):
        R.func_attr({"tir_var_upper_bound": {"n": 16}})
        y = R.matmul(x, w)
        z = R.nn.softmax(y)
        u = R.nn.relu(R.concat([z, y], axis=1))
        v = R.split(u, 2, axis=1)
        return R.add(z, R.multiply(v[0], v[1]))


@pytest.fixture(scope="module")
def planned():
    return optimised(Bounded)


@pytest.fixture(scope="module", params=MODES)
def builds(request, planned):
    mode = request.param
    return relax.build(planned[0], HOST, exec_mode=mode), build_unmodified(Bounded, HOST, exec_mode=mode)


@pytest.mark.parametrize("rows", [1, 7, BOUND])
def test_every_size_up_to_the_bound_gives_equal_outputs(rows, builds):
    inputs = random_arrays([(rows, 64), (64, 64)])
    assert outputs_equal(*(run_module(b, inputs) for b in builds))


def test_a_size_above_the_bound_is_an_error_that_names_it(builds):
    from tvm_memopt.errors import MemoptError

    with pytest.raises((MemoptError, AssertionError), match="dimension n is above 16"):
        run_module(builds[0], random_arrays([(BOUND + 1, 64), (64, 64)]))


def test_sizes_are_those_at_the_bound(planned):
    graph = extracted(Bounded).graph
    assert {t.nbytes for t in graph.tensors if t.arena} == {4 * BOUND * 64, 4 * BOUND * 128}
    assert not find_violations(graph, planned[1])
    assert testing.arena_nbytes(planned[0])["main"] == planned[1].arena_nbytes > 0


@I.ir_module
class Unbounded:
    @R.function
    def main(x: R.Tensor(("n", 64), "float32"), w: R.Tensor((64, 64), "float32")) -> R.Tensor(("n", 64), "float32"):
        y = R.matmul(x, w)
        v = R.nn.relu(R.matmul(w, w))
        z = R.nn.softmax(R.matmul(y, v))
        return R.add(z, y)


def test_tensors_without_a_bound_are_left_to_tvm_with_a_note():
    found = extracted(Unbounded)
    assert arena_tensors(found.graph) == {"matmul1", "relu"}
    assert sum("no upper bound" in note for note in found.notes) >= 3


@pytest.mark.parametrize("mode", MODES)
def test_a_function_that_is_bounded_in_part_gives_equal_outputs(mode):
    module, plan = optimised(Unbounded)
    assert plan.arena_nbytes == 64 * 64 * 4
    built, stock = relax.build(module, HOST, exec_mode=mode), build_unmodified(Unbounded, HOST, exec_mode=mode)
    for rows in (1, 50):
        inputs = random_arrays([(rows, 64), (64, 64)])
        assert outputs_equal(run_module(built, inputs), run_module(stock, inputs))


def test_a_bound_of_an_expression_is_found():
    @I.ir_module
    class Product:
        @R.function
        def main(x: R.Tensor(("n", 64), "float32")) -> R.Tensor(dtype="float32", ndim=1):
            R.func_attr({"tir_var_upper_bound": {"n": 10}})
            y = R.exp(R.concat([x, x], axis=0))
            return R.sum(R.matmul(y, R.permute_dims(y)), axis=1)

    graph = extracted(Product).graph
    assert {4 * 20 * 64, 4 * 20 * 20} <= {t.nbytes for t in graph.tensors if t.arena}


@I.ir_module
class Scaled:
    @R.function
    def main(x: R.Tensor(("n", 300), "float32"), factor: R.Prim("int64")) -> R.Tensor(("n", 300), "float32"):
        R.func_attr({"tir_var_upper_bound": {"n": 40}})
        n = T.int64()
        y = R.exp(x)
        z = R.call_tir(Scaled.scale, (y, factor), out_ty=R.Tensor((n, 300), "float32"))
        return R.add(z, y)

    @T.prim_func(private=True, s_tir=True)
    def scale(a: T.handle, factor: T.int64, b: T.handle):
        rows = T.int64()
        A = T.match_buffer(a, (rows, T.int64(300)), "float32")
        B = T.match_buffer(b, (rows, T.int64(300)), "float32")
        total = T.alloc_buffer((300,), "float32")
        for j in range(300):
            total[j] = T.float32(0)
        for i, j in T.grid(rows, T.int64(300)):
            total[j] = total[j] + A[i, j] * T.cast(factor, "float32")
        for i, j in T.grid(rows, T.int64(300)):
            B[i, j] = total[T.int64(299) - j]


def test_a_scalar_between_tensors_keeps_its_place_beside_a_workspace():
    found = extracted(Scaled)
    scaled = next(o for o in found.graph.ops if o.name == "scale")
    assert scaled.workspace == 1200
    module, _ = optimised(Scaled)
    built = relax.build(module, HOST)
    for rows in (3, 40):
        (x,) = random_arrays([(rows, 300)])
        y = np.exp(x.astype("float64"))
        (result,) = _call(built, x, 3)
        np.testing.assert_allclose(result, (3 * y.sum(axis=0))[::-1] + y, rtol=1e-5)


@I.ir_module
class ByShape:
    @R.function
    def main(x: R.Tensor((300,), "float32"), s: R.Shape(["n"])) -> R.Tensor((300,), "float32"):
        R.func_attr({"relax.force_pure": True, "tir_var_upper_bound": {"n": 40}})
        n = T.int64()
        y = R.builtin.alloc_tensor(R.shape([300]), R.dtype("float32"), 0, R.str("global"))
        _ = R.vm.call_tir_dyn(ByShape.turn, (x, y, R.shape([n])))
        z = R.builtin.alloc_tensor(R.shape([300]), R.dtype("float32"), 0, R.str("global"))
        _1 = R.vm.call_tir_dyn(ByShape.turn, (y, z, R.shape([n])))
        return z

    @T.prim_func(private=True, s_tir=True)
    def turn(A: T.Buffer((300,), "float32"), B: T.Buffer((300,), "float32"), n: T.int64):
        scratch = T.alloc_buffer((300,), "float32")
        for i in range(300):
            scratch[i] = A[i] + T.cast(n, "float32")
        for i in range(300):
            B[i] = scratch[299 - i]


def test_calls_with_a_shape_behind_the_tensors_are_planned_with_their_workspace():
    module, plan = optimised(ByShape)
    assert plan.arena_nbytes > 1200
    (x,) = random_arrays([(300,)])
    (result,) = _call(relax.build(module, HOST), x, tvm_ffi.Shape([7]))
    np.testing.assert_array_equal(result, (x + np.float32(7)) + np.float32(7))


def _call(executable, *arguments):
    machine = relax.VirtualMachine(executable, tvm.cpu())
    tensors = [tvm.runtime.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
    return [machine["main"](*tensors).numpy()]
