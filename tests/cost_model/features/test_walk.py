"""What a schedule of a plain operator never shows: guards, gathers, views, and loops that are no blocks."""

import numpy as np
import pytest

pytest.importorskip("tvm", reason="the walk reads TVM's modules")

import tvm
from tvm.script import tirx as T

from tests.twins.features.extract import extract_slowly
from tests.twins.features.walk import walk
from tvm_memopt.cost_model.features import native
from tvm_memopt.cost_model.features.columns import ACCESS, STATEMENT
from tvm_memopt.cost_model.features.extract import extract


@T.prim_func(s_tir=True)
def gather(x: T.Buffer((100,), "float32"), index: T.Buffer((20,), "int32"), y: T.Buffer((20,), "float32")):
    for i in range(20):
        with T.sblock("y"):
            v = T.axis.spatial(20, i)
            y[v] = x[index[v]]


@T.prim_func(s_tir=True)
def guarded(x: T.Buffer((10,), "float32"), y: T.Buffer((10,), "float32")):
    for i, j in T.grid(4, 3):
        with T.sblock("y"):
            v = T.axis.spatial(10, i * 3 + j)
            T.where(i * 3 + j < 10)
            y[v] = T.Select(x[v] > T.float32(0.0), T.exp(x[v]), x[v] / T.float32(3.0))


@T.prim_func(s_tir=True)
def plain(x: T.Buffer((8, 8), "int8"), y: T.Buffer((8, 8), "int32")):
    for i in T.parallel(8):
        for j in range(8):
            if j < i:
                y[i, j] = T.Cast("int32", x[j, i]) * 3 % 7
            else:
                y[i, j] = T.min(T.Cast("int32", x[i, j]), 5)


@T.prim_func(s_tir=True)
def through_a_view(x: T.Buffer((16, 16), "float32"), y: T.Buffer((16, 16), "float32")):
    for i, j in T.grid(4, 4):
        with T.sblock("tile"):
            vi, vj = T.axis.remap("SS", [i, j])
            T.reads(x[vi * 4 : vi * 4 + 4, vj * 4 : vj * 4 + 4])
            T.writes(y[vi * 4 : vi * 4 + 4, vj * 4 : vj * 4 + 4])
            view = T.match_buffer(x[vi * 4 : vi * 4 + 4, vj * 4 : vj * 4 + 4], (4, 4), strides=[16, 1], offset_factor=1)
            for a, b in T.grid(4, 4):
                with T.sblock("element"):
                    va, vb = T.axis.remap("SS", [a, b])
                    y[vi * 4 + va, vj * 4 + vb] = view[va, vb] * T.float32(2.0)


FUNCTIONS = {"gather": gather, "guarded": guarded, "plain": plain, "through a view": through_a_view}


def statement(function, number=0):
    graphs = extract([tvm.IRModule({"main": function})])
    return dict(zip(STATEMENT, graphs.nodes["statement"][number], strict=True))


def read_of(function, buffer):
    graphs = extract([tvm.IRModule({"main": function})])
    key = ("buffer", "is_read_by", "statement")
    (row,) = graphs.edge_values[key][graphs.edges[key][0] == buffer]
    return dict(zip(ACCESS, row, strict=True))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_native_walk_equals_its_plain_twin(name):
    mods = [tvm.IRModule({"main": FUNCTIONS[name]})]
    fast, slow = extract(mods), extract_slowly(mods)
    for field in ("nodes", "edges", "edge_values"):
        for key, values in getattr(slow, field).items():
            np.testing.assert_array_equal(getattr(fast, field)[key], values, err_msg=f"{field} {key}")


def test_a_gather_is_irregular_and_touches_a_line_in_each_iteration():
    access = read_of(gather, 0)
    assert (access["irregular"], access["unique_lines"], access["nbytes"]) == (1, 20, 80)


def test_a_guard_and_a_selection_are_counted():
    found = statement(guarded)
    assert found["predicated"] == 1
    assert [found[n] for n in ("select", "float_compare", "float_math", "float_div", "load")] == [1, 1, 1, 1, 3]
    assert (found["iterations"], found["spatial_points"]) == (12, 10)


def test_statements_outside_of_blocks_are_read_with_their_types():
    first, second = statement(plain), statement(plain, 1)
    assert [first[n] for n in ("int_mul", "int_div", "cast", "float_mul")] == [1, 1, 1, 0]
    assert (second["int_compare"], second["predicated"], second["parallel_extent"]) == (1, 1, 8)


def test_a_view_is_seen_as_the_buffer_behind_it():
    program = walk(tvm.IRModule({"main": through_a_view}))
    assert len(program.buffers) == 2
    access = read_of(through_a_view, 0)
    assert (access["unique_nbytes"], access["stride_inner"], access["stride_second"]) == (1024, 1, 16)


def test_a_missing_native_library_is_one_line(monkeypatch):
    from tvm_memopt.errors import MemoptError

    monkeypatch.setattr(native, "LIBRARY", native.LIBRARY.with_name("missing.so"))
    native.library.cache_clear()
    with pytest.raises(MemoptError, match="is not built: install g"):
        native.library()
    native.library.cache_clear()
