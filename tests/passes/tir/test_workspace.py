from __future__ import annotations

import tvm
from tvm import te, topi
from tvm.script import tirx as T

from tests.passes.tir import kernels
from tests.passes.tir.running import HOST, differing_forms, flat
from tvm_memopt.passes.tir.workspace import STACK_NBYTES, WORKSPACE_ALIGNMENT, kernel_forms, scratch_nbytes


def fast(func):
    return kernel_forms({"main": func}, HOST)["main"].fast


def test_scratch_that_fits_nowhere_becomes_a_parameter_behind_the_others():
    func = kernels.scratch_read_shifted
    kernel = fast(func)
    assert len(kernel.workspace) == 1
    assert kernel.workspace_position == len(func.params)
    assert kernel.func.params[kernel.workspace_position].same_as(kernel.workspace[0])
    assert (kernel.workspace_nbytes, kernel.kept_nbytes) == (4 * 513, 0)
    assert kernel.original is None


def test_scratch_stands_before_scalar_parameters():
    @T.prim_func(s_tir=True)
    def scaled(A: T.Buffer((600,), "float32"), B: T.Buffer((600,), "float32"), factor: T.int64):
        S = T.alloc_buffer((600,))
        for i in range(600):
            S[i] = A[i] * T.cast(factor, "float32")
        for i in range(600):
            B[i] = S[599 - i]

    kernel = fast(scaled)
    assert [tvm.tirx.is_buffer_var(p) for p in kernel.func.params] == [True, True, True, False]
    assert kernel.workspace_position == 2


def test_the_parts_of_a_workspace_are_aligned_and_apart():
    kernel = fast(two_scratch_buffers)
    sizes = [4 * 300, 4 * 500]
    assert sorted(int(b.shape[0]) * 4 for b in kernel.workspace) == sizes
    first, second = kernel.offsets
    assert first == 0
    assert second % WORKSPACE_ALIGNMENT == 0
    assert second >= 4 * int(kernel.workspace[0].shape[0])
    assert kernel.workspace_nbytes == second + 4 * int(kernel.workspace[1].shape[0])


@T.prim_func(s_tir=True)
def two_scratch_buffers(A: T.Buffer((500,), "float32"), B: T.Buffer((100,), "int32")):
    R = T.alloc_buffer((500,))
    S = T.alloc_buffer((300,))
    for i in range(500):
        R[i] = A[499 - i] * T.float32(2)
    for i in range(300):
        S[i] = R[i + 100] - R[i]
    for i in range(100):
        B[i] = T.cast(S[i] + R[i], "int32") + T.cast(S[299 - i], "int32")


@T.prim_func(s_tir=True)
def scratch_in_a_parallel_loop(A: T.Buffer((4, 512), "float32"), B: T.Buffer((4, 512), "float32")):
    for i in T.parallel(4):
        row = T.alloc_buffer((512,))
        for j in range(512):
            row[j] = A[i, j] * T.float32(2)
        for j in range(512):
            B[i, j] = row[511 - j]


def test_two_workspaces_give_equal_outputs():
    assert differing_forms(two_scratch_buffers) == []


def test_scratch_of_parallel_loops_stays_with_tvm_and_is_counted():
    kernel = fast(scratch_in_a_parallel_loop)
    assert (kernel.workspace, kernel.kept_nbytes) == ((), 2048)
    assert kernel.scratch_nbytes == scratch_nbytes(flat(scratch_in_a_parallel_loop)) == 2048
    assert differing_forms(scratch_in_a_parallel_loop) == []


def test_stack_scratch_is_neither_lifted_nor_counted_as_kept():
    x = te.placeholder((8, 30), name="x", dtype="float32")
    kernel = fast(te.create_prim_func([x, topi.nn.softmax(x)]))
    assert kernel.workspace == ()
    assert kernel.scratch_nbytes == 0
    assert kernel.stack_nbytes > 0


def test_the_stack_limit_is_that_of_tvm():
    for count, on_the_stack in ((STACK_NBYTES, True), (STACK_NBYTES + 1, False)):
        x = te.placeholder((count,), name="x", dtype="int8")
        func = te.create_prim_func([x, topi.cast(topi.nn.relu(x), "int32")])
        code = tvm.compile(
            tvm.IRModule({"main": func.with_attr("global_symbol", "main")}), tvm.target.Target("llvm")
        ).mod.inspect_source("ll")
        assert ("TVMBackendAllocWorkspace" not in code) == on_the_stack
        assert (fast(func).scratch_nbytes == 0) == on_the_stack


def test_parameters_that_a_kernel_writes_are_known():
    assert fast(kernels.read_after_the_store).stored_parameters == (1, 2)
    assert fast(kernels.through_an_access_pointer).stored_parameters == (0, 1)


def test_the_small_form_is_kept_only_where_it_needs_less():
    assert kernel_forms({"main": kernels.batch_norm_chain()}, HOST)["main"].small is None
    found = kernel_forms({"main": kernels.conv_bias_relu()}, HOST)["main"]
    assert found.smallest == "small"


def test_forms_of_no_kernels_are_none():
    assert kernel_forms({}) == {}
