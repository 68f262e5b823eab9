"""Run a compiled module on numpy arrays, and compare outputs bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.loading import Allocator, CompiledModule, entry, last_line, load_machine

if TYPE_CHECKING:
    import tvm


def run_module(
    module: CompiledModule, inputs: Sequence[np.ndarray], *, function: str = "main", allocator: Allocator = "pooled"
) -> tuple[np.ndarray, ...]:
    """Run ``function`` once on the CPU. Returned tuples are flattened in order, and shapes become int64 arrays.

    Raises MemoptError if the module cannot be loaded or rejects the inputs.
    """
    machine = load_machine(module, allocator)
    return to_arrays(call(entry(machine, function), to_tensors(inputs), function))


def call(compiled: Callable[..., object], tensors: Sequence[tvm.runtime.Tensor], name: str = "main") -> object:
    """Call a compiled function. TVM's error for inputs that do not fit becomes a one-line MemoptError."""
    try:
        return compiled(*tensors)
    except (RuntimeError, ValueError, TypeError) as error:
        raise MemoptError(f"{name}: the call failed: {last_line(error)}") from error


def to_tensors(arrays: Iterable[np.ndarray]) -> list[tvm.runtime.Tensor]:
    """CPU tensors with copies of the arrays."""
    import tvm

    return [tvm.runtime.tensor(np.array(array, order="C", copy=True)) for array in arrays]


def leaves(value: object) -> Iterator[object]:
    """The leaves of nested tuples, depth first. A value that is not a tuple is its own only leaf."""
    import tvm_ffi

    if isinstance(value, tuple | list | tvm_ffi.Array) and not isinstance(value, tvm_ffi.Shape):
        for member in value:
            yield from leaves(member)
    else:
        yield value


def to_arrays(value: object) -> tuple[np.ndarray, ...]:
    """The leaves of a returned value, copied to numpy arrays."""
    return tuple(_to_array(leaf) for leaf in leaves(value))


def _to_array(leaf: object) -> np.ndarray:
    import tvm_ffi

    if hasattr(leaf, "numpy"):
        return np.array(leaf.numpy(), copy=True)
    return np.asarray([int(d) for d in leaf], dtype=np.int64) if isinstance(leaf, tvm_ffi.Shape) else np.asarray(leaf)


def outputs_equal(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> bool:
    """Whether two lists of outputs agree in number, type, shape and every bit, NaN payloads included."""
    return len(first) == len(second) and not differing_outputs(first, second)


def differing_outputs(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Positions at which two lists of outputs differ, including the extra positions of the longer list."""
    shared = [i for i, (a, b) in enumerate(zip(first, second, strict=False)) if not _same_bits(a, b)]
    short, long = sorted((len(first), len(second)))
    return (*shared, *range(short, long))


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
