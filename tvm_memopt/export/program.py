"""A static program: kernel calls in order, on tensors whose addresses are known before it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Memory: TypeAlias = Literal["arena", "input", "constant", "storage"]


def tensor_nbytes(shape: Sequence[int], dtype: str) -> int:
    """Bytes of a contiguous tensor of a TVM data type."""
    bits = 8 if dtype == "bool" else int("".join(filter(str.isdigit, dtype)))
    return math.prod(shape) * bits // 8


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor by name. It is contiguous, in row-major order."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return tensor_nbytes(self.shape, self.dtype)


@dataclass(frozen=True, slots=True)
class View:
    """A tensor at byte ``offset`` of a memory: the arena, or the ``index``-th input, constant or storage."""

    memory: Memory
    index: int
    offset: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return tensor_nbytes(self.shape, self.dtype)


@dataclass(frozen=True, slots=True)
class KernelCall:
    """A call of a kernel with tensors and integers."""

    kernel: str
    arguments: tuple[View | int, ...]


@dataclass(frozen=True)
class StaticProgram:
    """A function without control flow, whose tensors have fixed shapes and addresses.

    ``arena_nbytes``: bytes of the plan's arena, 0 without a plan. ``storages``: bytes of each buffer outside the arena,
    such as that of a returned tensor.
    """

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[View, ...]
    calls: tuple[KernelCall, ...]
    constants: tuple[np.ndarray, ...]
    storages: tuple[int, ...]
    arena_nbytes: int

    @property
    def kernels(self) -> tuple[str, ...]:
        """The names of the kernels, each once, in the order of their first calls."""
        return tuple(dict.fromkeys(call.kernel for call in self.calls))

    @property
    def output_values(self) -> tuple[Value, ...]:
        """The outputs by name."""
        return tuple(Value(f"output{i}", view.shape, view.dtype) for i, view in enumerate(self.outputs))


def kernel_program(name: str, parameters: Sequence[Value]) -> StaticProgram:
    """A program that calls one kernel on its inputs, without outputs: for counting what the kernel does."""
    views = tuple(View("input", i, 0, value.shape, value.dtype) for i, value in enumerate(parameters))
    return StaticProgram(name, tuple(parameters), (), (KernelCall(name, views),), (), (), 0)
