from __future__ import annotations

import numpy as np
import pytest
from tvm import te, tirx, topi
from tvm.script import tirx as T

from tests.passes.tir import kernels
from tests.passes.tir.running import HOST, call, differing_forms, flat, pairs, random_array, scratch_buffers
from tvm_memopt.passes.tir.sharing import overwrite_input, share_outputs
from tvm_memopt.passes.tir.workspace import kernel_forms


@pytest.mark.parametrize("func", kernels.NEVER_IN_PLACE, ids=kernels.name_of)
def test_an_input_that_is_still_needed_is_not_overwritten(func):
    assert pairs(func) == []


@pytest.mark.parametrize("func", kernels.AHEAD_OF_THE_STORES, ids=kernels.name_of)
def test_an_output_may_overwrite_an_input_that_is_read_ahead_of_it(func):
    lowered = flat(func)
    assert pairs(func) == [(0, 1)]
    source = random_array(lowered.params[0], np.random.default_rng(0))
    apart = call(func, [source, np.full([int(d) for d in lowered.params[1].shape], np.nan, "float32")])[1]
    shared = call(overwrite_input(lowered, 0, 1), [source, source], [(0, 1)])[1]
    written = ~np.isnan(apart)
    assert written.sum() >= 128
    assert np.array_equal(apart[written], shared[written])


def test_of_two_outputs_only_the_last_reader_may_overwrite():
    assert pairs(kernels.read_after_the_store) == [(0, 2)]
    assert pairs(kernels.read_in_a_later_statement) == [(0, 2)]


@pytest.mark.parametrize("func", kernels.ALWAYS_IN_PLACE, ids=kernels.name_of)
def test_an_element_wise_output_may_overwrite_its_input(func):
    assert pairs(func) == [(0, 1)]
    assert differing_forms(func) == []


def test_an_input_of_symbolic_size_is_not_overwritten():
    rows = te.var("n", dtype="int64")
    x = te.placeholder((rows, 64), name="x", dtype="float32")
    assert pairs(te.create_prim_func([x, topi.nn.relu(x)])) == []


@pytest.mark.parametrize("func", kernels.NEVER_SHARED, ids=kernels.name_of)
def test_scratch_that_is_still_needed_is_not_put_into_an_output(func):
    lowered = flat(func)
    assert scratch_buffers(share_outputs(lowered)) == scratch_buffers(lowered) != []


def test_scratch_of_symbolic_size_stays_scratch():
    rows = te.var("n", dtype="int64")
    x = te.placeholder((rows, 64), name="x", dtype="float32")
    y = te.placeholder((rows, 64), name="y", dtype="float32")
    lowered = flat(te.create_prim_func([x, y, topi.add(topi.exp(x), y)]))
    assert share_outputs(lowered).same_as(lowered)


def test_scratch_on_the_stack_stays_there_so_that_no_rounding_changes():
    lowered = flat(kernels.batch_norm_chain(channels=3, size=4))
    assert scratch_buffers(lowered)
    assert share_outputs(lowered).same_as(lowered)


@pytest.mark.parametrize(("count", "shared"), [(255, False), (256, True)])
def test_a_buffer_leaves_the_stack_at_1024_bytes(count, shared):
    x = te.placeholder((count,), name="x", dtype="float32")
    lowered = flat(te.create_prim_func([x, topi.exp(topi.nn.relu(x))]))
    assert scratch_buffers(lowered) == [4 * count]
    assert scratch_buffers(share_outputs(lowered)) == ([] if shared else [4 * count])


def test_the_accumulator_of_a_convolution_lives_in_its_output():
    lowered = flat(kernels.conv_bias_relu(size=12, channels=4))
    padded, accumulated = 4 * 4 * 14 * 14, 4 * 4 * 12 * 12
    assert scratch_buffers(lowered) == [accumulated, padded]
    assert scratch_buffers(share_outputs(lowered)) == [padded]


def test_folding_and_sharing_leave_a_convolution_without_scratch():
    found = kernel_forms({"main": kernels.conv_bias_relu()}, HOST)["main"]
    assert found.original_nbytes == 4 * 4 * (14 * 14 + 12 * 12)
    assert found.fast.scratch_nbytes == found.fast.workspace_nbytes == 4 * 4 * 14 * 14
    assert found.small is not None
    assert found.small.scratch_nbytes == found.small.stack_nbytes == 0


def test_a_batch_norm_chain_runs_in_place():
    func = kernels.batch_norm_chain()
    kernel = kernel_forms({"main": func}, HOST)["main"].fast
    assert kernel.scratch_nbytes == 0
    assert kernel.inplace == ((0, 4),)
    assert differing_forms(func) == []


def test_a_smaller_input_does_not_lend_its_memory_to_a_larger_output():
    x = te.placeholder((256,), name="x", dtype="float32")
    y = te.placeholder((2, 256), name="y", dtype="float32")
    assert pairs(te.create_prim_func([x, y, topi.add(x, y)])) == [(1, 2)]


def test_boolean_outputs_overwrite_boolean_inputs_correctly():
    x = te.placeholder((2048,), name="x", dtype="bool")
    func = te.create_prim_func([x, topi.logical_not(topi.logical_not(x))])
    assert differing_forms(func) == []


def test_an_output_with_another_view_inside_a_loop_keeps_its_values():
    @T.prim_func(s_tir=True)
    def nested(A: T.Buffer((512,), "float32"), B: T.Buffer((512,), "float32")):
        for i in range(2):
            half = T.decl_buffer((256,), data=B.data, elem_offset=i * 256)
            for j in range(256):
                half[j] = A[i * 256 + j] * T.float32(2)

    assert differing_forms(nested) == []


@T.prim_func(s_tir=True)
def two_of_each(
    A: T.Buffer((512,), "float32"),
    B: T.Buffer((512,), "float32"),
    C: T.Buffer((512,), "float32"),
    D: T.Buffer((512,), "float32"),
):
    for i in range(512):
        C[i] = A[i] * T.float32(2)
    for i in range(512):
        D[i] = B[i] + C[i]


def test_two_pairs_of_one_kernel_may_share_at_once():
    import numpy as np

    from tvm_memopt.passes.relax.apply import inplace_form

    kernel = kernel_forms({"main": two_of_each}, HOST)["main"].fast
    assert set(kernel.inplace) == {(0, 2), (1, 3), (0, 3)}
    generator = np.random.default_rng(1)
    arrays = [random_array(p, generator) for p in two_of_each.params]
    expected = call(two_of_each, arrays)
    chosen = ((0, 2), (1, 3))
    found = call(inplace_form(kernel, chosen), arrays, chosen)
    assert [a.tobytes() for a in found[2:]] == [a.tobytes() for a in expected[2:]]


def test_emission_without_pairs_takes_tvms_own_kernel_where_nothing_changed():
    from tvm_memopt.passes.relax.apply import inplace_form

    x = te.placeholder((512,), name="x", dtype="float32")
    func = te.create_prim_func([x, topi.nn.relu(x)])
    kernel = kernel_forms({"main": func}, HOST)["main"].fast
    assert inplace_form(kernel, ()).same_as(func)
    assert isinstance(inplace_form(kernel, ((0, 1),)), tirx.PrimFunc)
