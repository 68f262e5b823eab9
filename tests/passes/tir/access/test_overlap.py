"""Overlapping kernels, compiled and run: right at the distance, wrong well below it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tvm import te, tirx, topi

from tests.passes.tir.access.overlapping import ALIGNMENT, outputs_apart_and_overlapping
from tests.passes.tir.access.random_loops import random_kernel
from tests.passes.tir.running import flat
from tvm_memopt.graph import align_up
from tvm_memopt.passes.tir.access.distance import overlap_distances
from tvm_memopt.passes.tir.inline import inline_data_movement
from tvm_memopt.passes.tir.overlap import overlap_parameters


def _folded(*tensors: te.Tensor) -> tirx.PrimFunc:
    func = te.create_prim_func(list(tensors))
    return flat(inline_data_movement(func) or func)


def _depthwise(dtype: str) -> tirx.PrimFunc:
    x = te.placeholder((1, 6, 24, 40), name="x", dtype=dtype)
    weight = te.placeholder((6, 1, 3, 3), name="w", dtype=dtype)
    return _folded(x, weight, topi.nn.depthwise_conv2d_nchw(x, weight, 1, 1, 1, dtype))


def _pool(kind: str, stride: int) -> tirx.PrimFunc:
    x = te.placeholder((1, 6, 24, 40), name="x", dtype="float32")
    return _folded(x, topi.nn.pool2d(x, (3, 3), (stride, stride), (1, 1), (1, 1, 1, 1), kind))


def _dense_convolution(filters: int) -> tirx.PrimFunc:
    x = te.placeholder((1, 20, 20, 16), name="x", dtype="float32")
    weight = te.placeholder((3, 3, 16, filters), name="w", dtype="float32")
    return _folded(x, weight, topi.nn.conv2d_nhwc(x, weight, 1, 1, 1, "float32"))


_KERNELS: dict[str, Callable[[], tirx.PrimFunc]] = {
    "depthwise float32": lambda: _depthwise("float32"),
    "depthwise int8": lambda: _depthwise("int8"),
    "max-pool of stride 1": lambda: _pool("max", 1),
    "max-pool of stride 2": lambda: _pool("max", 2),
    "dense to fewer channels": lambda: _dense_convolution(8),
    "dense to more channels": lambda: _dense_convolution(24),
}


@pytest.mark.parametrize("name", _KERNELS)
def test_an_overlapping_kernel_gives_the_same_bits_down_to_its_distance(name):
    func = _KERNELS[name]()
    target = len(func.params) - 1
    distance = align_up(overlap_parameters(func)[0, target], ALIGNMENT)
    for shift in (distance, distance + ALIGNMENT, distance + 1024):
        apart, together = outputs_apart_and_overlapping(func, 0, target, shift)
        assert apart.tobytes() == together.tobytes(), shift
    apart, together = outputs_apart_and_overlapping(func, 0, target, distance - 4096)
    assert apart.tobytes() != together.tobytes()


@pytest.mark.slow
def test_random_kernels_give_the_same_bits_where_they_may_overlap():
    ran = 0
    for seed in range(16):
        func = flat(random_kernel(seed))
        target = len(func.params) - 1
        if (0, target) in overlap_parameters(func):
            shift = align_up(overlap_parameters(func)[0, target], ALIGNMENT)
            apart, together = outputs_apart_and_overlapping(func, 0, target, shift, seed)
            assert apart.tobytes() == together.tobytes(), seed
            ran += 1
    assert ran > 5


def test_an_input_of_another_element_type_is_left_out():
    x = te.placeholder((1, 4, 10, 12), name="x", dtype="int8")
    assert overlap_parameters(flat(te.create_prim_func([x, topi.cast(x, "float32")]))) == {}


def test_an_input_that_could_overlap_two_outputs_is_left_out():
    x = te.placeholder((4, 64), name="x", dtype="float32")
    one, two = te.compute((4, 32), lambda i, j: x[i, j]), te.compute((4, 32), lambda i, j: x[i, 32 + j])
    func = flat(te.create_prim_func([x, one, two]))
    assert set(overlap_distances(func)) == {(0, 1), (0, 2)}
    assert overlap_parameters(func) == {}
