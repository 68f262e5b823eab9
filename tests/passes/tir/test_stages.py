from __future__ import annotations

import math
import os

import pytest
import tvm
import tvm_ffi
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import s_tir, te, tirx, topi

from tests.passes.tir import staged
from tests.passes.tir.running import differing_forms, fused_target
from tvm_memopt.passes.tir.rounding import keeps_products_on_the_stack
from tvm_memopt.passes.tir.stages import LONG_BAND_NBYTES, split_stages
from tvm_memopt.passes.tir.workspace import Kernel, kernel_forms

EXAMPLES = int(os.environ.get("MEMOPT_STAGES_EXAMPLES", "4"))
PLAIN = tvm.target.Target({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64"})


@pytest.mark.slow
@pytest.mark.parametrize("name", staged.KINDS)
def test_every_form_of_every_kind_gives_equal_outputs(name):
    assert differing_forms(staged.KINDS[name](), target=PLAIN) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "func",
    [
        staged.batch_norm_silu(4, 96),
        staged.depthwise_hard_swish(4, 96),
        staged.conv_silu(16, 72),
        staged.gelu(40, 700),
    ],
)
def test_every_form_gives_equal_outputs_with_fused_multiply_add(func):
    target = fused_target()
    assert kernel_forms({"main": func}, target)["main"].split is not None
    assert differing_forms(func, target=target) == []


def split_form(func: tirx.PrimFunc) -> Kernel:
    found = kernel_forms({"main": func}, PLAIN)["main"]
    assert found.split is not None
    return found.split


def test_a_tensor_between_stages_becomes_a_band():
    # bands of 12 rows of 24 elements; two of them are live at once, and so is one padded channel
    assert split_form(staged.batch_norm_silu()).scratch_nbytes == 2 * 12 * 24 * 4
    assert split_form(staged.depthwise_hard_swish()).scratch_nbytes == 2 * 20 * 20 * 4 + 22 * 22 * 4 + 48
    assert split_form(staged.gelu()).scratch_nbytes == 300 * 4


def test_bands_of_large_tensors_are_longer():
    small, large = (split_form(staged.batch_norm_silu(64, size)).scratch_nbytes for size in (24, 96))
    assert small <= 2 * 12 * 24 * 4 * 2 < large <= 4 * LONG_BAND_NBYTES


def test_no_element_is_computed_twice():
    for func in (make() for make in staged.KINDS.values()):
        nest = split_stages(func, fused=False)
        if nest is not None:
            assert stores(nest) <= stores(func)


def stores(func: tirx.PrimFunc) -> int:
    """How many times the stages of ``func`` store an element."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": func}))
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    return sum(math.prod(int(schedule.get(loop).extent) for loop in schedule.get_loops(block)) for block in blocks)


def test_a_stage_that_every_band_needs_in_full_stays_outside():
    """Each channel of the convolution reads all of the padded image."""
    func = staged.conv_silu()
    assert split_form(func).scratch_nbytes > 3 * 22 * 22 * 4
    small_split = kernel_forms({"main": func}, PLAIN)["main"].small_split
    assert small_split is not None
    assert small_split.scratch_nbytes == 2 * 20 * 20 * 4


def test_a_loop_that_no_stage_shares_is_not_split():
    """A band is half a channel, but the padded image is needed by the channel."""
    x = te.placeholder((1, 16, 28, 28), name="x", dtype="float32")
    weight = te.placeholder((16, 1, 5, 5), name="w", dtype="float32")
    nest = split_stages(
        te.create_prim_func([x, weight, topi.nn.depthwise_conv2d_nchw(x, weight, 1, 2, 1)]), fused=False
    )
    assert nest is not None
    extents: list[int] = []
    tvm_ffi.structural_walk(nest.body, (tirx.For, lambda loop: extents.append(int(loop.extent))))
    assert sorted(extents) == [1, 5, 5, 16, 28, 28, 32, 32]


def test_the_output_takes_the_place_of_an_input_row_by_row():
    found = kernel_forms({"main": staged.matmul_residual()}, PLAIN)["main"]
    assert found.fast.inplace == ()
    assert found.split is not None
    assert found.split.inplace == ((3, 4),)
    assert found.smallest == "split"


def test_bands_of_products_are_long_where_rounding_depends_on_it():
    small, large = staged.batch_norm_silu(8, 24), staged.batch_norm_silu(4, 96)
    assert split_stages(small, fused=False) is not None
    assert split_stages(small, fused=True) is None
    kernel = kernel_forms({"main": large})["main"].split
    assert kernel is not None
    assert all(math.prod(map(int, b.shape)) * 4 >= LONG_BAND_NBYTES for b in kernel.workspace)
    assert not keeps_products_on_the_stack(kernel.func)


def test_kernels_that_cannot_be_split_are_left_alone():
    assert split_stages(staged.gelu().with_attr("tirx.is_scheduled", True), fused=False) is None
    x = te.placeholder((40, 400), name="x", dtype="float32")
    assert split_stages(te.create_prim_func([x, topi.exp(x)]), fused=False) is None  # one stage
    small = te.placeholder((4, 8), name="x", dtype="float32")
    assert split_stages(te.create_prim_func([small, topi.exp(topi.tanh(small))]), fused=False) is None
    whole = topi.exp(topi.sum(topi.exp(x), axis=0))  # every column sum needs all rows
    assert split_stages(te.create_prim_func([x, whole]), fused=False) is None
    rows = te.placeholder((te.var("n"), 400), name="x", dtype="float32")
    assert split_stages(te.create_prim_func([rows, topi.exp(topi.tanh(rows))]), fused=False) is None


def test_a_module_may_forbid_either_kind_of_form():
    forms = kernel_forms({"main": staged.depthwise_hard_swish()}, PLAIN)["main"]
    assert list(forms.named) == ["fast", "split", "rows", "small", "small_split"]
    assert list(forms.restricted("auto", "never").named) == ["fast", "rows", "small"]
    assert list(forms.restricted("never", "auto").named) == ["fast", "split"]
    folded = forms.restricted("always", "auto")
    assert (folded.fast, folded.split, folded.small) == (forms.small, forms.small_split, None)
    assert list(forms.restricted("always", "never").named) == ["fast"]


def _pool(x: te.Tensor, draw) -> te.Tensor:
    window, stride = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2]))
    padding = draw(st.integers(0, window // 2))
    kind = draw(st.sampled_from(["max", "avg"]))
    return topi.nn.pool2d(x, (window, window), (stride, stride), (1, 1), (padding,) * 4, kind)


def _depthwise(x: te.Tensor, draw) -> te.Tensor:
    window, dilation = draw(st.sampled_from([1, 3])), draw(st.sampled_from([1, 2]))
    channels = int(x.shape[1])
    weight = te.compute(
        (channels, 1, window, window), lambda c, _one, i, j: ((c + i * 2 + j) % 3 - 1).astype("float32")
    )
    stride, padding = draw(st.sampled_from([1, 2])), dilation * (window // 2)
    return topi.nn.depthwise_conv2d_nchw(x, weight, stride, padding, dilation)


STAGES = {
    "silu": lambda x, _draw: topi.multiply(x, topi.sigmoid(x)),
    "relu": lambda x, _draw: topi.nn.relu(x),
    "scale": lambda x, _draw: topi.multiply(x, tirx.const(1.7, "float32")),
    "shift": lambda x, _draw: topi.add(x, tirx.const(0.3, "float32")),
    "product": lambda x, _draw: topi.multiply(x, topi.tanh(x)),
    "softmax": lambda x, _draw: topi.nn.softmax(x),
    "mean": lambda x, _draw: topi.subtract(
        x, topi.divide(topi.sum(x, axis=-1, keepdims=True), float(int(x.shape[-1])))
    ),
    "skip": lambda x, _draw: topi.add(topi.tanh(x), x),
    "pool": _pool,
    "depthwise": _depthwise,
}


@st.composite
def programs(draw) -> tirx.PrimFunc:
    """2 to 8 stages over an image, with random strides, paddings and dilations."""
    shape = (1, draw(st.sampled_from([2, 6, 16])), draw(st.sampled_from([16, 21, 32])), draw(st.sampled_from([16, 24])))
    x = value = te.placeholder(shape, name="x", dtype="float32")
    for name in draw(st.lists(st.sampled_from(sorted(STAGES)), min_size=2, max_size=8)):
        shrinks = name in ("pool", "depthwise")
        if not shrinks or min(map(int, value.shape[2:])) >= 8:
            value = STAGES[name](value, draw)
    return te.create_prim_func([x, value])


@pytest.mark.slow
@given(programs(), st.integers(0, 99))
@settings(max_examples=EXAMPLES, deadline=None)
def test_random_programs_give_equal_outputs_in_every_form(func, seed):
    assert differing_forms(func, seed, target=PLAIN) == []


@pytest.mark.slow
@given(programs(), st.integers(0, 99))
@settings(max_examples=max(1, EXAMPLES // 2), deadline=None)
def test_random_programs_give_equal_outputs_with_fused_multiply_add(func, seed):
    assert differing_forms(func, seed, target=fused_target()) == []
