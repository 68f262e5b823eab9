"""Load a compiled module, run it on numpy arrays, compare outputs bit for bit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import numpy as np

from tvm_memopt.errors import MemoptError

Allocator: TypeAlias = Literal["naive", "pooled"]
CompiledModule: TypeAlias = Any
"""A path of an exported module (.so), or what ``relax.build`` or ``tvm.compile`` returned."""


def run_module(
    module: CompiledModule, inputs: Sequence[np.ndarray], *, function: str = "main", allocator: Allocator = "pooled"
) -> tuple[np.ndarray, ...]:
    """Run ``function`` once on the CPU; returned tuples are flattened in order, shapes become int64 arrays.

    Raises MemoptError if the module cannot be loaded or rejects the inputs.
    """
    machine = load_machine(module, allocator)
    return to_arrays(call(entry(machine, function), to_tensors(inputs), function))


def load_machine(module: CompiledModule, allocator: Allocator = "pooled") -> Any:
    """A virtual machine on the CPU for a file or an executable; raises MemoptError naming what is wrong."""
    import tvm
    from tvm import relax

    if is_path(module) and not Path(module).is_file():
        raise MemoptError(f"{module}: no such file; expected a compiled module (.so)")
    try:
        loaded = tvm.runtime.load_module(os.fspath(module)) if is_path(module) else module
        return relax.VirtualMachine(loaded, tvm.cpu(), memory_cfg=allocator)
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        what = module if is_path(module) else type(module).__name__
        raise MemoptError(f"{what}: not a compiled Relax module for this machine: {last_line(error)}") from error


def entry(machine: Any, function: str) -> Any:
    """The callable of that name; raises MemoptError if the module has none."""
    try:
        return machine[function]
    except AttributeError as error:
        raise MemoptError(f"the compiled module has no function {function!r}") from error


def call(compiled: Any, tensors: Sequence[Any], name: str = "main") -> Any:
    """Call a compiled function; what TVM says of unfit inputs becomes a MemoptError of one line."""
    try:
        return compiled(*tensors)
    except (RuntimeError, ValueError, TypeError) as error:
        raise MemoptError(f"{name}: the call failed: {last_line(error)}") from error


def to_tensors(arrays: Iterable[np.ndarray]) -> list[Any]:
    """CPU tensors with copies of the arrays."""
    import tvm

    return [tvm.runtime.tensor(np.array(array, order="C", copy=True)) for array in arrays]


def leaves(value: Any) -> Iterator[Any]:
    """The members of nested tuples, depth first; a value that is no tuple is its own only member."""
    import tvm_ffi

    if isinstance(value, tuple | list | tvm_ffi.Array) and not isinstance(value, tvm_ffi.Shape):
        for member in value:
            yield from leaves(member)
    else:
        yield value


def to_arrays(value: Any) -> tuple[np.ndarray, ...]:
    """The leaves of a returned value as numpy arrays of their own."""
    return tuple(_to_array(leaf) for leaf in leaves(value))


def _to_array(leaf: Any) -> np.ndarray:
    import tvm_ffi

    if hasattr(leaf, "numpy"):
        return np.array(leaf.numpy(), copy=True)
    return np.asarray([int(d) for d in leaf], dtype=np.int64) if isinstance(leaf, tvm_ffi.Shape) else np.asarray(leaf)


def outputs_equal(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> bool:
    """Whether two lists of outputs agree in number, type, shape and every bit, NaN payloads included."""
    return len(first) == len(second) and not differing_outputs(first, second)


def differing_outputs(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Positions at which two lists of outputs differ; the longer list's tail counts."""
    shared = [i for i, (a, b) in enumerate(zip(first, second, strict=False)) if not _same_bits(a, b)]
    short, long = sorted((len(first), len(second)))
    return (*shared, *range(short, long))


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@contextmanager
def module_file(module: CompiledModule) -> Iterator[Path]:
    """A file of the module: the path itself, or an export of the executable that is removed afterwards."""
    if is_path(module):
        if not Path(module).is_file():
            raise MemoptError(f"{module}: no such file; expected a compiled module (.so)")
        yield Path(module).resolve()
        return
    if not hasattr(module, "export_library"):
        raise MemoptError(f"expected a path or an executable of relax.build, not {type(module).__name__}")
    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        path = Path(folder) / "module.so"
        module.export_library(str(path))
        yield path


def is_path(module: CompiledModule) -> bool:
    """Whether the module is given by its file name."""
    return isinstance(module, str | os.PathLike)


def last_line(error: BaseException) -> str:
    """The line of a TVM error that states the cause; the frames stand before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
