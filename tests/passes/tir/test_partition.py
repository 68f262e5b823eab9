"""Folded kernels lose the index tests of their inner loops, and no bit."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import te, tirx, topi

from tests.passes.tir.running import HOST, call, differing_forms, fused_target, named, poison, random_array
from tvm_memopt.passes.relax.apply import inplace_form
from tvm_memopt.passes.tir.inline import inline_data_movement
from tvm_memopt.passes.tir.partition import MOST_COPIES, has_residues, partition_folds
from tvm_memopt.passes.tir.workspace import kernel_forms


def convolution(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tirx.PrimFunc:
    x = te.placeholder((1, 6, size, size), name="x")
    w = te.placeholder((6, 6, kernel, kernel), name="w")
    return te.create_prim_func([x, w, topi.nn.conv2d_nchw(x, w, stride, kernel // 2 * dilation, dilation)])


def transposed(size: int, kernel: int, stride: int, output_padding: int = 0) -> tirx.PrimFunc:
    x = te.placeholder((1, 6, size, size), name="x")
    w = te.placeholder((6, 6, kernel, kernel), name="w")
    strides, extra = (stride, stride), (output_padding, output_padding)
    y = topi.nn.conv2d_transpose_nchw(x, w, strides, (kernel // 2, kernel // 2), "float32", extra)
    return te.create_prim_func([x, w, y])


def pooling() -> tirx.PrimFunc:
    x = te.placeholder((1, 6, 15, 15), name="x")
    pooled = topi.nn.pool2d(x, [3, 3], [2, 2], [1, 1], [1, 1, 1, 1], "max")
    return te.create_prim_func([x, pooled])


KERNELS = [
    convolution(15, 3),
    convolution(16, 5, stride=2),
    convolution(15, 3, dilation=2),
    transposed(9, 2, 2),
    transposed(9, 3, 2, output_padding=1),
    transposed(7, 4, 3),
    transposed(9, 9, 2),
    pooling(),
]


@pytest.mark.slow
@pytest.mark.parametrize("func", KERNELS)
def test_every_form_is_equal_bit_for_bit(func):
    assert differing_forms(func) == []


@pytest.mark.slow
@pytest.mark.parametrize("func", KERNELS)
def test_every_form_is_equal_bit_for_bit_with_fused_multiply_add(func):
    assert differing_forms(func, target=fused_target()) == []


@pytest.mark.parametrize("target", [HOST, "fused"])
@pytest.mark.parametrize("func", [convolution(9, 3), transposed(7, 3, 2), transposed(5, 4, 3)])
def test_padding_times_an_infinite_weight_is_kept(func, target):
    """``0 * inf`` is NaN in the unmodified build, and so it is where the zero is padding; a NaN's sign is nobody's."""
    target = fused_target() if target == "fused" else target
    generator = np.random.default_rng(3)
    arrays = [random_array(p, generator) for p in func.params]
    arrays[1][:, 0, 0, 0] = np.inf
    arrays[1][:, 1, -1, -1] = -0.0
    expected = call(func, arrays, target=target)[2]
    small = kernel_forms({"main": func}, target)["main"].small
    found = call(inplace_form(small, ()), [*arrays, *map(poison, small.workspace)], target=target)[2]
    number = ~np.isnan(expected)
    assert 0 < np.count_nonzero(number) < number.size
    assert np.array_equal(np.isnan(found), ~number)
    assert found[number].tobytes() == expected[number].tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("kind", ["llvm", "c"])
def test_padding_of_every_float_type_compiles(dtype, kind):
    x = te.placeholder((1, 3, 25, 25), name="x", dtype=dtype)
    w = te.placeholder((3, 3, 3, 3), name="w", dtype=dtype)
    func = te.create_prim_func([x, w, topi.nn.conv2d_nchw(x, w, 1, 1, 1, dtype)])
    target = tvm.target.Target(kind)
    small = kernel_forms({"main": func}, target)["main"].small
    assert small is not None
    tvm.compile(tvm.IRModule({"main": named(inplace_form(small, ()))}), target)


def remainders_tested(func: tirx.PrimFunc) -> int:
    found: list[tirx.FloorMod] = []
    tvm_ffi.structural_walk(func.body, (tirx.FloorMod, found.append))
    return len(found)


def test_no_remainder_of_a_dilation_is_left():
    forms = kernel_forms({"f": transposed(9, 3, 2, output_padding=1)})["f"]
    assert forms.residues
    assert forms.small.scratch_nbytes == 0
    assert remainders_tested(forms.small.func) == 0


def test_windows_that_would_be_unrolled_too_far_keep_their_loops():
    folded = inline_data_movement(transposed(9, 9, 2))
    assert MOST_COPIES < 9 * 9 * 2 * 2
    assert has_residues(partition_folds(folded))


def test_padding_leaves_an_interior_without_conditions():
    forms = kernel_forms({"f": convolution(15, 3)})["f"]
    plain, tested = stores_by_condition(forms.small.func)
    assert plain > 0
    assert tested == 0


def stores_by_condition(func: tirx.PrimFunc) -> tuple[int, int]:
    """(stores without an index test in their value, stores with one)."""
    found: list[bool] = []

    def on_store(store: tirx.BufferStore) -> None:
        tests: list[tvm.ir.Call] = []
        tvm_ffi.structural_walk(store.value, (tvm.ir.Call, tests.append))
        found.append(any(getattr(call.op, "name", "").endswith("if_then_else") for call in tests))

    tvm_ffi.structural_walk(func.body, (tirx.BufferStore, on_store))
    return found.count(False), found.count(True)
