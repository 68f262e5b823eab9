from __future__ import annotations

import pytest
from tvm import te, topi

from tests.passes.tir import kernels
from tests.passes.tir.running import HOST, differing_forms, fused_target
from tvm_memopt.passes.tir.rows import buffer_rows
from tvm_memopt.passes.tir.workspace import kernel_forms


def depthwise(stride: int):
    x = te.placeholder((1, 8, 18, 18), name="x", dtype="float32")
    weight = te.placeholder((8, 1, 3, 3), name="w", dtype="float32")
    found = topi.nn.depthwise_conv2d_nchw(x, weight, stride, 1, 1)
    return te.create_prim_func([x, weight, topi.nn.relu(found)])


def transposed():
    x = te.placeholder((1, 4, 9, 9), name="x", dtype="float32")
    weight = te.placeholder((4, 4, 3, 3), name="w", dtype="float32")
    return te.create_prim_func([x, weight, topi.nn.conv2d_transpose_nchw(x, weight, (2, 2), (1, 1), "float32", (1, 1))])


def pooled():
    x = te.placeholder((1, 4, 18, 18), name="x", dtype="float32")
    return te.create_prim_func([x, topi.nn.pool2d(x, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1), "max")])


FUNCTIONS = {
    "convolution": kernels.conv_bias_relu(size=16, channels=8),
    "depthwise": depthwise(1),
    "strided depthwise": depthwise(2),
    "transposed": transposed(),
    "pooling": pooled(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_form_gives_equal_outputs(name):
    assert differing_forms(FUNCTIONS[name]) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_form_gives_equal_outputs_with_fused_multiply_add(name):
    assert differing_forms(FUNCTIONS[name], target=fused_target()) == []


def test_a_few_rows_take_a_fraction_of_the_padded_copy():
    found = kernel_forms({"main": FUNCTIONS["convolution"]}, HOST)["main"]
    assert found.rows is not None
    assert found.small is not None
    rows = found.rows.scratch_nbytes + found.rows.stack_nbytes
    assert rows <= 8 * 3 * 18 * 4 + found.small.stack_nbytes
    assert found.rows.scratch_nbytes < found.fast.scratch_nbytes == 8 * 18 * 18 * 4


def test_kernels_without_a_sliding_window_have_no_such_form():
    assert buffer_rows(kernels.batch_norm_chain()) is None
    x = te.placeholder((40, 40), name="x", dtype="float32")
    assert buffer_rows(te.create_prim_func([x, topi.exp(topi.transpose(x))])) is None


def test_a_kernel_that_was_scheduled_by_hand_is_left_alone():
    func = FUNCTIONS["convolution"].with_attr("tirx.is_scheduled", True)
    assert buffer_rows(func) is None
