"""The inputs of a module's ``main``, and random values that are safe as inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends.index_limits import index_limits
from tvm_memopt.frontends.relax_types import bounds_of, evaluate, main_function, tensor_dims

if TYPE_CHECKING:
    import numpy
    import tvm
    from tvm import relax

INTEGER_LIMIT = 8


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A parameter of ``main``, with symbolic dimensions at their upper bounds."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class InputDocument(TypedDict):
    """A ModelInput as a JSON object, with the limit that its integers must stay below."""

    name: str
    shape: Sequence[int]
    dtype: str
    limit: int


def model_inputs(mod: tvm.IRModule) -> list[ModelInput]:
    """The parameters of ``main`` in order. Raises FrontendError for one that is not a tensor or has no size bound."""
    main = main_function(mod)
    return [_model_input(parameter, bounds_of(main)) for parameter in main.params]


def random_inputs(mod: tvm.IRModule, seed: int) -> list[numpy.ndarray]:
    """One array per input: floats from N(0, 1), bytes over their full range, other integers small enough as indices."""
    return random_arrays(model_inputs(mod), seed, integer_limits(mod))


def random_arrays(wanted: Sequence[ModelInput], seed: int, limits: Mapping[str, int]) -> list[numpy.ndarray]:
    """One array per input, as in random_inputs. ``limits``: by input, the limit that its integers stay below."""
    import numpy as np

    generator = np.random.default_rng(seed)
    return [_random_array(generator, one, limits.get(one.name, INTEGER_LIMIT)) for one in wanted]


def described_arrays(documents: Sequence[InputDocument], seed: int) -> list[numpy.ndarray]:
    """As random_inputs, for inputs that describe_inputs described."""
    wanted = [ModelInput(v["name"], tuple(v["shape"]), v["dtype"]) for v in documents]
    return random_arrays(wanted, seed, {v["name"]: v["limit"] for v in documents})


def integer_limits(mod: tvm.IRModule) -> dict[str, int]:
    """For each input of ``main``, the limit that its integers must stay below to be safe as indices."""
    rows = index_limits(main_function(mod))
    return {one.name: min(rows.get(one.name, INTEGER_LIMIT), INTEGER_LIMIT) for one in model_inputs(mod)}


def describe_inputs(mod: tvm.IRModule) -> list[InputDocument]:
    """Name, shape, dtype and integer limit of each input of ``main``, ready for JSON."""
    limits = integer_limits(mod)
    return [
        {"name": one.name, "shape": one.shape, "dtype": one.dtype, "limit": limits[one.name]}
        for one in model_inputs(mod)
    ]


def _model_input(parameter: relax.Var, bounds: dict[str, int]) -> ModelInput:
    from tvm import relax

    if not isinstance(parameter.ty, relax.TensorType):
        raise FrontendError(f"input {parameter.name!r} of main is not a tensor but {parameter.ty}")
    dims = tensor_dims(parameter.ty)
    if dims is None:
        raise FrontendError(f"input {parameter.name!r} of main has no known shape")
    shape = tuple(_size(parameter.name, dim, bounds) for dim in dims)
    return ModelInput(str(parameter.name), shape, str(parameter.ty.dtype))


def _size(name: str, dim: tvm.ir.Expr, bounds: dict[str, int]) -> int:
    value = evaluate(dim, bounds)
    if value is None:
        raise FrontendError(f"input {name!r}: dimension {dim} is symbolic and has no upper bound")
    return value


def _random_array(generator: numpy.random.Generator, wanted: ModelInput, limit: int) -> numpy.ndarray:
    import numpy as np

    dtype = _numpy_dtype(wanted.dtype)
    if dtype == np.bool_:
        return generator.integers(0, 2, wanted.shape).astype(dtype)
    if dtype.kind in "iu":
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max + 1) if dtype.itemsize == 1 else (0, limit)
        return generator.integers(low, high, wanted.shape).astype(dtype)
    return generator.standard_normal(wanted.shape, dtype=np.float32).astype(dtype)


def _numpy_dtype(name: str) -> numpy.dtype:
    import numpy as np

    try:
        return np.dtype(name)
    except TypeError:
        # Registers TVM's narrow floats (bfloat16, float8_*) as numpy types. TVM depends on this package.
        import ml_dtypes

        narrow: numpy.dtype = np.dtype(getattr(ml_dtypes, name))
        return narrow
