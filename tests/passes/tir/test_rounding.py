from __future__ import annotations

import pytest
import tvm
from tvm import te, topi

from tests.passes.tir import kernels
from tests.passes.tir.running import differing_forms, flat, fused_target
from tvm_memopt.passes.tir.rounding import fuses_multiply_add, keeps_products_on_the_stack
from tvm_memopt.passes.tir.workspace import kernel_forms

PLAIN = tvm.target.Target({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64"})


@pytest.mark.parametrize(
    ("target", "fuses"),
    [
        ({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64"}, False),
        ({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "haswell"}, True),
        ({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mattr": ["+fma"]}, True),
        ({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "bdver1"}, True),
        ({"kind": "llvm", "mtriple": "aarch64-linux-gnu"}, True),
        ({"kind": "llvm", "mtriple": "hexagon-unknown-linux", "mcpu": "hexagonv68"}, True),
        ({"kind": "c"}, True),
    ],
)
def test_targets_that_multiply_and_add_at_once_are_known(target, fuses):
    assert fuses_multiply_add(tvm.target.Target(target)) == fuses


def test_an_unknown_target_is_taken_to_fuse():
    assert fuses_multiply_add(None)


def padded_and_scaled(channels: int, size: int):
    """A pooled, scaled and shifted image: the product lies on the stack where the image is small."""
    x = te.placeholder((1, channels, size, size), name="x", dtype="float32")
    scale = te.placeholder((channels, 1, 1), name="s", dtype="float32")
    shift = te.placeholder((channels, 1, 1), name="t", dtype="float32")
    wide = te.placeholder((channels, channels, 1, 1), name="w", dtype="float32")
    found = topi.nn.relu(topi.add(topi.multiply(x, scale), shift))
    return te.create_prim_func([x, scale, shift, wide, topi.nn.conv2d_nchw(found, wide, 1, 1, 1)])


def test_products_on_the_stack_are_found_and_others_are_not():
    assert keeps_products_on_the_stack(flat(padded_and_scaled(3, 8)))
    assert not keeps_products_on_the_stack(flat(padded_and_scaled(8, 8)))
    x = te.placeholder((8, 30), name="x", dtype="float32")
    assert not keeps_products_on_the_stack(flat(te.create_prim_func([x, topi.nn.softmax(x)])))


def test_products_are_seen_through_choices_and_conversions():
    x = te.placeholder((10, 10), name="x", dtype="float32")
    product = topi.multiply(x, x)
    padded = te.compute(
        (12, 10), lambda i, j: te.if_then_else(i < 10, x[i % 10, j] * x[0, j], tvm.tirx.const(0.0, "float32"))
    )
    for func in (
        te.create_prim_func([x, topi.add(topi.cast(product, "float64"), topi.cast(x, "float64"))]),
        te.create_prim_func([x, topi.exp(padded)]),
    ):
        assert keeps_products_on_the_stack(flat(func))


def test_whole_numbers_are_never_rounded():
    x = te.placeholder((10, 10), name="x", dtype="int32")
    assert not keeps_products_on_the_stack(flat(te.create_prim_func([x, topi.add(topi.multiply(x, x), x)])))


def test_such_a_kernel_keeps_its_loops_and_parameters_where_rounding_depends_on_them():
    func = padded_and_scaled(3, 8)
    fused = kernel_forms({"main": func})["main"]
    assert (fused.small, fused.rows, fused.fast.inplace) == (None, None, ())
    assert fused.fast.workspace_nbytes == 3 * 10 * 10 * 4
    assert kernel_forms({"main": func}, PLAIN)["main"].small is not None


@pytest.mark.parametrize(("channels", "size"), [(3, 8), (1, 12)])
def test_padded_products_are_equal_in_every_form(channels, size):
    func = padded_and_scaled(channels, size)
    assert differing_forms(func, target=fused_target()) == []


def test_a_pooled_product_is_equal_in_every_form():
    x = te.placeholder((1, 1, 16, 5), name="x", dtype="float32")
    scale = te.placeholder((1, 1, 1), name="s", dtype="float32")
    skip = te.placeholder((1, 1, 8, 3), name="y", dtype="float32")
    pooled = topi.nn.pool2d(x, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1), "max")
    func = te.create_prim_func([x, scale, skip, topi.add(topi.multiply(pooled, scale), skip)])
    assert differing_forms(func, 72, fused_target()) == []


def test_kernels_without_such_products_run_in_place_on_every_target():
    assert kernel_forms({"main": kernels.batch_norm_chain()})["main"].fast.inplace == ((0, 4),)


def test_no_form_brings_a_product_to_the_stack():
    """Folded, the product no longer shares the larger memory of what follows it."""
    x = te.placeholder((1, 3, 3, 16), name="x", dtype="float32")
    scale, shift, last = (te.placeholder((3, 1, 1), name=n, dtype="float32") for n in "stu")
    weight = te.placeholder((3, 1, 1, 1), name="w", dtype="float32")
    found = topi.nn.depthwise_conv2d_nchw(topi.nn.relu(topi.add(topi.multiply(x, scale), shift)), weight, 1, 1, 1)
    changed = topi.add(topi.multiply(topi.subtract(topi.nn.relu(found), last), scale), shift)
    func = te.create_prim_func([x, scale, shift, last, weight, changed])
    assert not keeps_products_on_the_stack(flat(func))
    assert kernel_forms({"main": func}, PLAIN)["main"].small is not None
    for kernels_of_target in (kernel_forms({"main": func}), kernel_forms({"main": func}, fused_target())):
        assert (kernels_of_target["main"].small, kernels_of_target["main"].rows) == (None, None)
    assert differing_forms(func, target=fused_target()) == []
