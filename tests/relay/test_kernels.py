"""What is read from lowered kernels: statements, scratch, and buffers that may be overwritten in step."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm.script import tir as T

from tvm_memopt.passes.relay.kernels import NEVER, read_kernel
from tvm_memopt.passes.relay.targets import default_target


def facts(func, **options):
    return read_kernel(func, overwrites=True, **options)


@T.prim_func
def two_stages(a: T.Buffer((64,), "float32"), b: T.Buffer((64,), "float32")):
    padded = T.allocate([80], "float32", "global")
    pad = T.Buffer((80,), data=padded)
    for i in range(80):
        pad[i] = T.if_then_else(i < 64, a[i], T.float32(0))
    for i in range(64):
        b[i] = pad[i] + pad[i + 1]


@T.prim_func
def in_step(a: T.Buffer((64,), "float32"), c: T.Buffer((64,), "float32"), b: T.Buffer((64,), "float32")):
    for i, j in T.grid(8, 8):
        b[i * 8 + j] = a[i * 8 + j] * T.float32(2) + c[63 - (i * 8 + j)]


@T.prim_func
def vectors(a: T.Buffer((64,), "float32"), b: T.Buffer((64,), "float32")):
    for i in range(16):
        b[i * 4 : i * 4 + 4] = a[i * 4 : i * 4 + 4] + T.Broadcast(T.float32(1), 4)


@T.prim_func
def overlapping_stores(a: T.Buffer((64,), "float32"), b: T.Buffer((64,), "float32")):
    for i, j in T.grid(8, 8):
        b[i * 4 + j] = a[i * 4 + j]


@T.prim_func
def accumulates(a: T.Buffer((64,), "float32"), b: T.Buffer((64,), "float32")):
    for i in range(64):
        b[i] = a[i]
    for i in range(64):
        b[i] = b[i] + a[63 - i]


@T.prim_func
def one_input_unused(a: T.Buffer((64,), "float32"), c: T.Buffer((64,), "float32"), b: T.Buffer((64,), "float32")):
    for i in range(64):
        b[i] = c[i]


@T.prim_func
def padded_by_one(a: T.Buffer((64,), "float32"), b: T.Buffer((64,), "float32")):
    padded = T.allocate([100], "float32", "global")
    pad = T.Buffer((100,), data=padded)
    for i in T.parallel(10):
        for j in range(10):
            pad[i * 10 + j] = T.if_then_else(
                i >= 1 and i < 9 and j >= 1 and j < 9, a[(i - 1) * 8 + j - 1], T.float32(0)
            )
    for i in range(64):
        b[i] = pad[i // 8 * 10 + i % 8] + pad[i // 8 * 10 + i % 8 + 22]


@T.prim_func
def vector_scratch(a: T.Buffer((64,), "float32"), b: T.Buffer((64,), "float32")):
    held = T.allocate([16], "float32x4", "global")
    h = T.Buffer((16,), "float32x4", data=held)
    for i in range(16):
        h[i] = a[i * 4 : i * 4 + 4]
    for i in range(16):
        b[i * 4 : i * 4 + 4] = h[i]


def test_scratch_has_the_statements_of_its_accesses():
    found = facts(two_stages)
    assert [(s.name, s.nbytes, s.first, s.last) for s in found.scratch] == [("pad", 320, 0, 1)]
    assert found.spans == ((0, 0), (1, 1))


def test_input_that_is_read_before_the_output_is_written_may_share_its_address():
    assert facts(two_stages).inplace_pairs(1) == [(0, 0)]
    # the padded copy may take the input's address, and the output that of the padded copy, which it reads ahead
    assert facts(two_stages).overwrites == ((0, 2), (2, 1))


@pytest.mark.parametrize(
    ("func", "pairs"),
    [
        (in_step, ((0, 2),)),
        (vectors, ((0, 1),)),
        (overlapping_stores, ()),
        (accumulates, ()),
        (one_input_unused, ((1, 2),)),
    ],
)
def test_overwrites_need_one_store_and_equal_indices(func, pairs):
    assert facts(func).overwrites == pairs


def test_unused_parameter_has_no_span():
    assert facts(one_input_unused).spans[0] == NEVER
    assert facts(one_input_unused).inplace_pairs(2) == [(1, 0)]


@pytest.mark.parametrize(("in_extents", "nbytes"), [(False, 256), (True, 64)])
def test_vector_lanes_count_once(in_extents, nbytes):
    (held,) = facts(vector_scratch, lanes_in_extents=in_extents).scratch
    assert (held.nbytes, held.counted_nbytes) == (nbytes, 64)


def test_scalar_extents_pass_writes_the_lanes_into_the_extents():
    from tvm_memopt.passes.relay.usmp import scalar_extents

    changed = scalar_extents(tvm.IRModule({"main": vector_scratch}))["main"]
    assert [int(e) for e in changed.body.extents] == [64]


@pytest.mark.parametrize(("inputs", "stay"), [([256], False), ([256], True), ([0], False)])
def test_workspace_makes_the_largest_statement_exact(inputs, stay):
    """The second statement holds the padded copy and the output, and the input if it stays."""
    assert facts(two_stages).workspace_nbytes(inputs, [256], [stay]) == 320


def test_padding_may_overwrite_what_it_pads_when_it_runs_backwards():
    from tvm_memopt.passes.relay.overwrites import descending_copies

    assert (0, 2) not in facts(padded_by_one).overwrites
    backwards = descending_copies(tvm.IRModule({"main": padded_by_one}))["main"]
    assert (0, 2) in facts(backwards).overwrites
    data = np.random.default_rng(0).standard_normal(64).astype("float32")
    results = []
    for func in (padded_by_one, backwards):
        built = tvm.build(func.with_attr("global_symbol", "main"), target=default_target())
        result = tvm.nd.array(np.zeros(64, "float32"))
        built(tvm.nd.array(data), result)
        results.append(result.numpy())
    assert np.array_equal(*results)
    assert results[0].any()
