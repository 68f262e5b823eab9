from __future__ import annotations

import tvm_ffi
from tvm import s_tir, te, tirx, topi

from tests.passes.tir import kernels
from tests.passes.tir.running import differing_forms, flat, scratch_buffers
from tvm_memopt.passes.tir.inline import inline_data_movement


def stages(func: tirx.PrimFunc) -> list[str]:
    """Names of the computations of ``func``."""
    found: list[str] = []
    tvm_ffi.structural_walk(func.body, (s_tir.SBlock, lambda block: found.append(str(block.name_hint))))
    return [name for name in found if name != "root"]


def test_padding_is_folded_into_the_convolution_and_arithmetic_is_not():
    func = kernels.conv_bias_relu()
    before, after = stages(func), stages(inline_data_movement(func))
    assert len(before) - len(after) == 1
    assert [name for name in before if name not in after] == ["pad_temp"]


def test_a_chain_of_copies_is_folded_whole():
    x = te.placeholder((20, 30), name="x", dtype="float32")
    moved = topi.nn.pad(topi.transpose(topi.strided_slice(x, [0, 0], [20, 20])), [2, 0], [0, 2])
    func = te.create_prim_func([x, topi.exp(topi.add(moved, moved))])
    folded = inline_data_movement(func)
    assert len(stages(folded)) == len(stages(func)) - 3
    assert differing_forms(func) == []
    assert sum(scratch_buffers(flat(folded))) < sum(scratch_buffers(flat(func)))


def test_arithmetic_alone_leaves_nothing_to_fold():
    assert inline_data_movement(kernels.batch_norm_chain()) is None


def test_a_cast_is_arithmetic():
    x = te.placeholder((600,), name="x", dtype="float32")
    func = te.create_prim_func([x, topi.nn.relu(topi.cast(x, "float16"))])
    assert inline_data_movement(func) is None


def test_a_test_of_values_is_not_folded():
    x = te.placeholder((600,), name="x", dtype="float32")
    chosen = te.compute((600,), lambda i: tirx.if_then_else(x[i] > 0, x[i], tirx.const(0.0, "float32")), name="chosen")
    assert inline_data_movement(te.create_prim_func([x, topi.exp(chosen)])) is None


def test_a_copy_that_is_the_output_stays():
    x = te.placeholder((20, 30), name="x", dtype="float32")
    assert inline_data_movement(te.create_prim_func([x, topi.transpose(x)])) is None


def test_a_kernel_without_blocks_is_left_alone():
    assert inline_data_movement(flat(kernels.conv_bias_relu())) is None
