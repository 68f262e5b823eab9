"""Arguments for timing kernels.

Floats have magnitudes from 0.5 to 1.5, so that kernels do not start on denormals, and both signs, as in a model. If
the compiler turned a comparison with zero into a branch, data of one sign would never be mispredicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tvm

if TYPE_CHECKING:
    import tvm.rpc
    from tvm import tirx


def timing_arguments(function: Callable[..., object], parameters: Sequence[tirx.Var]) -> list[tvm.runtime.Tensor]:
    """Tensors for timing ``function``, which is called on them once. They are the same in every process.

    A kernel that returns NaN or infinity for numbers of both signs (a root, a logarithm) gets positive numbers only.
    """
    kinds = [(str(parameter.ty.dtype), parameter.ty.shape) for parameter in parameters]
    arguments = [tvm.runtime.tensor(values) for values in _values(kinds, signed=True)]
    function(*arguments)
    if all(np.isfinite(values).all() for one in arguments if (values := one.numpy()).dtype.kind == "f"):
        return arguments
    arguments = [tvm.runtime.tensor(values) for values in _values(kinds, signed=False)]
    function(*arguments)
    return arguments


def remote_arguments(
    _session: tvm.rpc.RPCSession,
    device: tvm.runtime.Device,
    kinds: Sequence[tuple[str, str, Sequence[int]]],
    repeats: int,
) -> list[list[tvm.runtime.Tensor]]:
    """The same on an RPC device, always with both signs, as ``f_alloc_argument`` of MetaSchedule's RPCRunner.

    ``kinds``: ("TENSOR", dtype, shape) of each argument.
    """
    arrays = list(_values([(str(dtype), shape) for _, dtype, shape in kinds], signed=True))
    return [[tvm.runtime.tensor(values, device) for values in arrays] for _ in range(repeats)]


def timing_arrays(kinds: Iterable[tuple[str, Sequence[int]]]) -> Iterable[np.ndarray]:
    """Arrays of given types and shapes, with numbers of both signs."""
    return _values(kinds, signed=True)


def _values(kinds: Iterable[tuple[str, Sequence[int]]], signed: bool) -> Iterable[np.ndarray]:
    rng = np.random.default_rng(0)
    for dtype, extents in kinds:
        kind, shape = np.dtype(dtype).kind, tuple(int(extent) for extent in extents)
        if kind != "f":
            yield rng.integers(0, 2 if kind == "b" else 10, shape).astype(dtype)
            continue
        values = rng.uniform(-1.0, 1.0, shape)
        yield (values + np.copysign(0.5, values) if signed else np.abs(values) + 0.5).astype(dtype)
