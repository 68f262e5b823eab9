from __future__ import annotations

from tvm import te, topi
from tvm.script import tirx as T

from tests.passes.tir import kernels
from tests.passes.tir.running import flat
from tvm_memopt.passes.tir.statements import analyze, element_count, nbytes_of


def test_accesses_through_views_count_for_the_memory_behind_them():
    func = flat(kernels.batch_norm_chain())
    kernel = analyze(func)
    assert set(kernel.root.values()) <= {*func.params, *kernel.allocations()}
    assert kernel.loads[func.params[0]] == [kernel.touched(func.params[0])[0]]
    assert not kernel.opaque


def test_statements_stand_in_the_order_in_which_they_run():
    kernel = analyze(flat(kernels.read_in_a_later_statement))
    a, b, c = kernel.func.params
    assert kernel.touched(a) == kernel.touched(b)
    assert kernel.touched(c) == kernel.touched(a)[-1:]


def test_memory_used_through_pointers_is_opaque():
    by_pointer = analyze(flat(kernels.through_an_access_pointer))
    assert by_pointer.opaque == set(by_pointer.func.params)
    by_address = analyze(flat(kernels.through_an_address))
    assert by_address.opaque == {by_address.func.params[1]}


def test_library_calls_make_their_buffers_opaque():
    x = te.placeholder((64, 64), name="x", dtype="float32")
    kernel = analyze(flat(te.create_prim_func([x, topi.sort(x, axis=1)])))
    assert kernel.func.params[1] in kernel.opaque


def test_sizes_count_elements_and_whole_bytes():
    @T.prim_func(s_tir=True)
    def sizes(A: T.Buffer((3, 5), "float16"), B: T.Buffer((3,), "bool"), C: T.Buffer((0, 7), "int64")):
        T.evaluate(0)

    assert [element_count(p) for p in sizes.params] == [15, 3, 0]
    assert [nbytes_of(p) for p in sizes.params] == [30, 3, 0]


def test_symbolic_sizes_are_unknown():
    rows = te.var("n", dtype="int64")
    x = te.placeholder((rows, 64), name="x", dtype="float32")
    func = te.create_prim_func([x, topi.nn.relu(x)])
    assert element_count(func.params[0]) is None
    assert nbytes_of(func.params[0]) is None
