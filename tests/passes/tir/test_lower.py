from __future__ import annotations

import pytest
import tvm
from tvm import te, topi
from tvm.script import tirx as T

from tests.passes.tir import kernels
from tests.passes.tir.running import HOST, differing_forms, flat, fused_target, machine_code, named
from tvm_memopt.passes.tir.lower import has_scratch_views, lower_to_flat_buffers
from tvm_memopt.passes.tir.workspace import kernel_forms


def narrow(dtype: str):
    x = te.placeholder((40, 40), name="x", dtype=dtype)
    return te.create_prim_func([x, topi.transpose(topi.add(topi.nn.relu(x), topi.multiply(x, x)))])


FUSED = [
    kernels.conv_bias_relu(),
    kernels.batch_norm_chain(),
    kernels.batch_norm_chain(channels=3, size=4),
    kernels.views_of_the_stack(),
    kernels.vectorised,
    kernels.in_parallel,
    kernels.read_after_the_store,
    *map(narrow, ["bfloat16", "float16", "int8"]),
    *map(kernels.random_kernel, range(6)),
]


@pytest.mark.parametrize("func", FUSED)
def test_early_lowering_changes_no_instruction(func):
    assert machine_code(flat(func)) == machine_code(func)


@pytest.mark.parametrize("seed", range(6, 10))
def test_early_lowering_changes_no_instruction_of_a_fused_target(seed):
    target = fused_target()
    func = kernels.random_kernel(seed)
    assert machine_code(flat(func), target) == machine_code(func, target)


def test_no_view_of_scratch_is_left_for_the_second_storage_rewrite():
    lowered = flat(kernels.views_of_the_stack())
    assert not has_scratch_views(lowered)
    again = tvm.tirx.transform.StorageRewrite()(tvm.IRModule({"main": lowered}))["main"]
    tvm.ir.assert_structural_equal(again, lowered)


def test_scratch_that_follows_other_scratch_on_the_stack_keeps_its_values():
    assert differing_forms(kernels.views_of_the_stack()) == []


@T.prim_func(s_tir=True)
def bits_of_scratch(A: T.Buffer((512,), "float32"), B: T.Buffer((512,), "int32")):
    S = T.alloc_buffer((512,))
    bits = T.decl_buffer((512,), "int32", data=S.data)
    for i in range(512):
        S[i] = A[i] + T.float32(1)
    for i in range(512):
        B[i] = bits[i]


def test_scratch_with_views_of_another_type_becomes_a_parameter():
    kernel = kernel_forms({"main": bits_of_scratch}, HOST)["main"].fast
    assert not has_scratch_views(kernel.func)
    assert (kernel.workspace_nbytes, kernel.kept_nbytes) == (2048, 0)
    assert differing_forms(bits_of_scratch) == []


@T.prim_func(s_tir=True)
def bits_inside_a_loop(A: T.Buffer((4, 512), "float32"), B: T.Buffer((4, 512), "int32")):
    for i in T.parallel(4):
        S = T.alloc_buffer((512,))
        bits = T.decl_buffer((512,), "int32", data=S.data)
        for j in range(512):
            S[j] = A[i, j] + T.float32(1)
        for j in range(512):
            B[i, j] = bits[j]


def test_a_kernel_with_such_views_inside_a_loop_is_left_as_it_is():
    kernel = kernel_forms({"main": bits_inside_a_loop}, HOST)["main"].fast
    assert kernel.original is not None
    assert (kernel.workspace, kernel.inplace) == ((), ())


def test_options_of_the_pass_context_reach_the_early_lowering():
    x = te.placeholder((512,), name="x", dtype="float32")
    func = te.create_prim_func([x, topi.exp(topi.nn.relu(topi.negative(x)))])

    def buffers() -> int:
        lowered = lower_to_flat_buffers(tvm.IRModule({"main": named(func)}))["main"]
        return lowered.script().count("alloc_buffer")

    assert buffers() == 1
    with tvm.transform.PassContext(config={"tirx.disable_storage_rewrite": True}):
        assert buffers() == 2
