from __future__ import annotations

import pytest
import tvm
from tvm import te, tirx, topi
from tvm.script import tirx as T

from tests.passes.tir.access.random_loops import random_kernel
from tests.passes.tir.access.trace import least_distance, overwritten_too_early, trace
from tests.passes.tir.running import flat
from tvm_memopt.passes.tir.access.distance import overlap_distances
from tvm_memopt.passes.tir.inline import inline_data_movement
from tvm_memopt.passes.tir.lower import lower_to_flat_buffers
from tvm_memopt.passes.tir.statements import nbytes_of

_KERNELS = 300


def test_an_interpreter_that_traces_every_address_agrees_on_random_kernels():
    """The distance is safe, nearly always the least safe one, and one byte less is caught."""
    exact = inside = 0
    for seed, func in _lowered(range(_KERNELS)).items():
        target = len(func.params) - 1
        distance = overlap_distances(func)[0, target]
        room, taken = (nbytes_of(func.params[i]) or 0 for i in (0, target))
        found = trace(func, 0, target)
        least = least_distance(found, room, taken)
        assert least <= distance <= taken, seed
        assert not overwritten_too_early(found, distance), seed
        assert least == -room or overwritten_too_early(found, least - 1), seed
        exact += distance == least
        inside += -room < least < taken
    assert exact > 0.8 * _KERNELS
    assert inside > 0.5 * _KERNELS


def _lowered(seeds: range) -> dict[int, tirx.PrimFunc]:
    named = {f"k{seed}": random_kernel(seed).with_attr("global_symbol", f"k{seed}") for seed in seeds}
    lowered = lower_to_flat_buffers(tvm.IRModule(named))
    return {seed: lowered[f"k{seed}"] for seed in seeds}


def _of(*tensors: te.Tensor, fold: bool = True) -> int:
    """Distance of the first parameter and the last, with copies folded into their readers."""
    func = te.create_prim_func(list(tensors))
    func = (inline_data_movement(func) or func) if fold else func
    return overlap_distances(flat(func))[0, len(tensors) - 1]


def _images(channels: int = 4, width: int = 12, dtype: str = "int8") -> te.Tensor:
    return te.placeholder((1, channels, 10, width), name="x", dtype=dtype)


def test_element_wise_kernels_may_write_where_they_read():
    x = _images(dtype="float32")
    assert _of(x, topi.nn.relu(x)) == 0


def test_a_pooling_of_stride_1_needs_a_row_and_the_window():
    x = _images(width=12)
    # The output is set before the first element of the window, one row and one column before, is read.
    assert _of(x, topi.nn.pool2d(x, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), "max")) == 12 + 1 + 1


def test_a_distance_counts_bytes():
    narrow, wide = _images(dtype="int8"), _images(dtype="float32")
    pool = ((3, 3), (1, 1), (1, 1), (1, 1, 1, 1), "max")
    assert _of(wide, topi.nn.pool2d(wide, *pool)) == 4 * _of(narrow, topi.nn.pool2d(narrow, *pool))


def test_a_depthwise_convolution_needs_as_much_for_any_number_of_channels():
    def distance(channels: int) -> int:
        x = _images(channels, dtype="float32")
        weight = te.placeholder((channels, 1, 3, 3), name="w", dtype="float32")
        return _of(x, weight, topi.nn.depthwise_conv2d_nchw(x, weight, 1, 1, 1, "float32"))

    assert distance(2) == distance(64) == 4 * (12 + 1 + 1)


def test_a_dense_convolution_in_nchw_needs_its_whole_input_until_the_last_channel():
    x, weight = _images(4), te.placeholder((6, 4, 1, 1), name="w", dtype="int8")
    assert _of(x, weight, topi.nn.conv2d_nchw(x, weight, 1, 0, 1, "int8")) == 5 * 120 + 1


def test_a_pointwise_convolution_in_nhwc_ends_where_its_input_ends():
    x = te.placeholder((1, 5, 5, 4), name="x", dtype="int8")
    weight = te.placeholder((1, 1, 4, 6), name="w", dtype="int8")
    grown = 25 * 6 - 25 * 4
    assert _of(x, weight, topi.nn.conv2d_nhwc(x, weight, 1, 0, 1, "int8")) == grown + 4


def test_an_input_read_by_an_earlier_stage_alone_may_lie_anywhere():
    x = _images(dtype="float32")
    func = topi.nn.pool2d(x, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), "max")
    assert _of(x, func, fold=False) == -4 * 4 * 120


@T.prim_func(s_tir=True)
def gathers(x: T.Buffer((8,), "float32"), i: T.Buffer((8,), "int32"), y: T.Buffer((8,), "float32")):
    for k in range(8):
        y[k] = x[i[k]]


@T.prim_func(s_tir=True)
def in_parallel(x: T.Buffer((8,), "float32"), i: T.Buffer((8,), "int32"), y: T.Buffer((8,), "float32")):
    for k in T.parallel(8):
        y[k] = x[k] + T.Cast("float32", i[7 - k])


@T.prim_func(s_tir=True)
def waits(x: T.Buffer((8,), "float32"), y: T.Buffer((8,), "float32")):
    n = T.alloc_buffer((1,), "int32", scope="local")
    n[0] = 0
    while n[0] < 8:
        y[n[0]] = x[7 - n[0]]
        n[0] = n[0] + 1


def test_a_data_dependent_read_may_need_any_element_and_blocks_that_pair_only():
    assert overlap_distances(flat(gathers)) == {(0, 2): 28, (1, 2): 0}  # the last write comes after every read


def test_iterations_of_a_parallel_loop_may_come_in_any_order():
    assert overlap_distances(flat(in_parallel)) == {(0, 2): 32, (1, 2): 28}


def test_a_kernel_of_unknown_order_has_no_distances():
    assert overlap_distances(flat(waits)) == {}


@pytest.mark.parametrize("rows", [1, 4, 100_000])
def test_the_size_of_a_tensor_costs_no_time(rows):
    x = te.placeholder((rows, 4096), name="x", dtype="float32")
    assert _of(x, topi.nn.relu(x)) == 0


def test_buffers_of_symbolic_size_are_left_out():
    rows = te.var("n", dtype="int64")
    x = te.placeholder((rows, 64), name="x", dtype="float32")
    assert overlap_distances(flat(te.create_prim_func([x, topi.nn.relu(x)]))) == {}
