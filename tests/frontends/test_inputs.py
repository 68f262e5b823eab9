"""Random inputs that a model can run on."""

import numpy as np
import pytest
import tvm
from tvm import relax, tirx

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import ModelInput, model_inputs, random_inputs


def module(*params: relax.Var, result=None, attrs=None) -> tvm.IRModule:
    builder = relax.BlockBuilder()
    with builder.function("main", list(params), attrs=attrs):
        builder.emit_func_output(builder.emit(result) if result is not None else relax.Tuple(list(params)))
    return builder.get()


def tensor(name: str, shape, dtype: str) -> relax.Var:
    return relax.Var(name, relax.TensorType(shape, dtype))


def test_every_parameter_is_listed_in_order():
    mod = module(tensor("x", (2, 3), "float32"), tensor("rate", (), "int64"))
    assert model_inputs(mod) == [ModelInput("x", (2, 3), "float32"), ModelInput("rate", (), "int64")]


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "float64", "bfloat16", "int8", "uint8", "int32", "int64", "bool"]
)
def test_arrays_have_the_type_and_shape_of_the_input(dtype):
    (array,) = random_inputs(module(tensor("x", (64, 4), dtype)), seed=0)
    assert (array.shape, str(array.dtype)) == ((64, 4), dtype)
    assert len(np.unique(array)) > 1


def test_the_same_seed_gives_the_same_arrays():
    mod = module(tensor("x", (8,), "float32"), tensor("ids", (8,), "int64"))
    first, again, other = random_inputs(mod, 5), random_inputs(mod, 5), random_inputs(mod, 6)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_integers_are_small_and_not_negative():
    (ids,) = random_inputs(module(tensor("ids", (1000,), "int64")), seed=1)
    assert (ids.min(), ids.max()) == (0, 7)


def test_integers_stay_inside_the_table_they_index():
    ids = tensor("ids", (200,), "int64")
    table = relax.const(np.zeros((3, 50), "float32"))
    narrow = relax.op.take(table, relax.op.astype(ids, "int32"), axis=0)
    assert random_inputs(module(ids, result=narrow), seed=0)[0].max() == 2
    wide = relax.op.take(table, relax.op.astype(ids, "int32"), axis=1)
    assert random_inputs(module(ids, result=wide), seed=0)[0].max() == 7


def test_symbolic_dimensions_stand_at_their_upper_bound():
    n = tirx.Var("n", "int64")
    mod = module(
        tensor("x", (n, 4), "float32"), tensor("y", (2 * n + 1,), "float32"), attrs={"tir_var_upper_bound": {"n": 16}}
    )
    assert [one.shape for one in model_inputs(mod)] == [(16, 4), (33,)]


def test_a_symbolic_dimension_without_a_bound_is_an_error():
    with pytest.raises(FrontendError, match="input 'x': dimension n is symbolic and has no upper bound"):
        model_inputs(module(tensor("x", (tirx.Var("n", "int64"), 4), "float32")))


def test_a_parameter_that_is_no_tensor_is_an_error():
    pair = relax.Var("pair", relax.TupleType([relax.TensorType((2,), "float32")] * 2))
    with pytest.raises(FrontendError, match="input 'pair' of main is not a tensor"):
        model_inputs(module(pair))
