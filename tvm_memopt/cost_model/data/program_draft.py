"""A random program under construction: its tensors and the remaining work budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from tvm import te

_T = TypeVar("_T")


@dataclass
class Draft:
    """A pipeline under construction. ``budget``: remaining operations; ``largest``: most elements in a tensor."""

    rng: np.random.Generator
    is_float: bool
    budget: float
    largest: int
    inputs: list[te.Tensor] = field(default_factory=list)
    tensors: list[te.Tensor] = field(default_factory=list)
    consumed: set[int] = field(default_factory=set)
    stages: set[int] = field(default_factory=set)

    def choose(self, options: Sequence[_T]) -> _T:
        """Choose one of the options uniformly."""
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def placeholder(self, shape: Sequence[int]) -> te.Tensor:
        """Add an input to the program."""
        from tvm import te

        kind = "float32" if self.is_float else "int8"
        self.inputs.append(te.placeholder(tuple(shape), kind, name=f"p{len(self.inputs)}"))
        return self.inputs[-1]

    def partner(self, x: te.Tensor, axis: int | None = None) -> te.Tensor | None:
        """Another tensor of the same type and shape, except along ``axis``, or None if there is none."""
        fitting = [t for t in self.tensors if t.dtype == x.dtype and _fits(t, x, axis) and not t.same_as(x)]
        if not fitting:
            return None
        found = self.choose(fitting)
        self.consumed.update(i for i, tensor in enumerate(self.tensors) if tensor.same_as(found))
        return found


def _fits(tensor: te.Tensor, other: te.Tensor, axis: int | None) -> bool:
    a, b = list(map(int, tensor.shape)), list(map(int, other.shape))
    return len(a) == len(b) and all(i == axis or x == y for i, (x, y) in enumerate(zip(a, b, strict=True)))
