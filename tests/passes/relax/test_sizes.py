from __future__ import annotations

import pytest
from tvm import relax, tirx

from tvm_memopt.passes.relax.sizes import dtype_nbytes, largest_value, static_nbytes, type_nbytes


@pytest.mark.parametrize(
    ("dtype", "nbytes"), [("float32", 4), ("bool", 1), ("int8", 1), ("bfloat16", 2), ("float32x4", 16), ("int4", 1)]
)
def test_an_element_takes_whole_bytes(dtype, nbytes):
    assert dtype_nbytes(dtype) == nbytes


def test_expressions_have_the_value_at_their_bounds():
    n, m = tirx.Var("n", "int64"), tirx.Var("m", "int64")
    bounds = {n: 10, m: 3}
    assert largest_value(n * 2 + m, bounds) == 23
    assert largest_value((n + 3) // 4, bounds) == 3
    assert static_nbytes([n, m, tirx.IntImm("int64", 5)], "float16", bounds) == 10 * 3 * 5 * 2
    assert static_nbytes([n, tirx.IntImm("int64", 0)], "float32", bounds) == 0


def test_a_dimension_without_a_bound_has_no_size():
    n, m = tirx.Var("n", "int64"), tirx.Var("m", "int64")
    assert largest_value(n + m, {n: 10}) is None
    assert static_nbytes([n, m], "float32", {n: 10}) is None


def test_types_of_values_are_counted():
    pair = relax.TupleType([relax.TensorType([2, 3], "float32"), relax.TensorType([4], "int8")])
    assert type_nbytes(pair, {}) == 28
    assert type_nbytes(relax.TensorType(dtype="float32", ndim=2), {}) is None
    assert type_nbytes(relax.TupleType([pair, relax.TensorType(dtype="float32", ndim=1)]), {}) is None
    assert type_nbytes(relax.ShapeType([2, 3]), {}) == 0
