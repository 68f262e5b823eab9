"""Every form of a kernel computes what TVM's own kernel computes, bit for bit."""

from __future__ import annotations

import pytest
from tvm import te, topi

from tests.passes.tir import kernels
from tests.passes.tir.running import differing_forms, fused_target

HAND_MADE = [
    kernels.conv_bias_relu(),
    kernels.conv_bias_relu(size=5, channels=2),
    kernels.batch_norm_chain(channels=4, size=4),
    kernels.read_in_a_later_statement,
    kernels.read_after_the_store,
    kernels.scratch_written_again,
    kernels.scratch_read_later,
    kernels.scratch_read_by_both_outputs,
    kernels.scratch_larger_than_the_output,
]


@pytest.mark.parametrize("func", HAND_MADE)
def test_hand_made_kernels_are_equal_in_every_form(func):
    assert differing_forms(func) == []


@pytest.mark.parametrize("seed", range(100, 105))
def test_random_kernels_are_equal_in_every_form(seed):
    assert differing_forms(kernels.random_kernel(seed), seed) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(209, 214))
def test_random_kernels_are_equal_in_every_form_with_fused_multiply_add(seed):
    assert differing_forms(kernels.random_kernel(seed), seed, fused_target()) == []


@pytest.mark.slow
@pytest.mark.parametrize("func", HAND_MADE[:3])
def test_hand_made_kernels_are_equal_in_every_form_with_fused_multiply_add(func):
    assert differing_forms(func, target=fused_target()) == []


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int32"])
def test_other_element_types_are_equal_in_every_form(dtype):
    x = te.placeholder((40, 40), name="x", dtype=dtype)
    y = te.placeholder((40, 40), name="y", dtype=dtype)
    padded = topi.nn.pad(topi.multiply(topi.add(x, y), x), [1, 0], [0, 1])
    func = te.create_prim_func([x, y, topi.nn.relu(topi.subtract(padded, topi.transpose(topi.transpose(padded))))])
    assert differing_forms(func) == []
