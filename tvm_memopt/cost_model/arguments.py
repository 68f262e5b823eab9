"""What a kernel is timed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm


def timing_arguments(function: Callable[..., Any], parameters: Sequence[Any]) -> list[Any]:
    """Tensors for ``function``, the same in every process, after one call of it.

    Floats are 0.5 to 1.5 in size, so that no kernel meets denormals at the start, and of both signs, as a model's are:
    where a compiler made a branch of a comparison with zero, data of one sign never miss it. A kernel that makes
    NaN or infinity of them (a root, a logarithm) gets them all above zero.
    """
    arguments = _tensors(parameters, signed=True)
    function(*arguments)
    if all(np.isfinite(values).all() for one in arguments if (values := one.numpy()).dtype.kind == "f"):
        return arguments
    return _tensors(parameters, signed=False)


def _tensors(parameters: Sequence[Any], signed: bool) -> list[Any]:
    rng = np.random.default_rng(0)
    tensors = []
    for parameter in parameters:
        shape, dtype = tuple(int(extent) for extent in parameter.ty.shape), np.dtype(str(parameter.ty.dtype))
        if dtype.kind == "f":
            values = rng.uniform(-1.0, 1.0, shape)
            values = values + np.copysign(0.5, values) if signed else np.abs(values) + 0.5
        else:
            values = rng.integers(0, 2 if dtype.kind == "b" else 10, shape)
        tensors.append(tvm.runtime.tensor(values.astype(dtype)))
    return tensors
