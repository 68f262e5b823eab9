"""Run and time compiled Relay modules on the CPU: graph executor, ahead-of-time executor, virtual machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.loading import last_line, native_file
from tvm_memopt.runtime.timing import WARM_UP_ROUNDS, TimeComparison, interleaved


class RelayModule:
    """A module loaded from a file. ``executor``: ``"graph"``, ``"aot"`` or ``"vm"``; ``inputs``: names in order."""

    def __init__(self, path: str | os.PathLike[str], executor: str, inputs: Sequence[str]) -> None:
        import tvm

        self.path, self.executor, self.inputs = os.fspath(path), executor, tuple(inputs)
        try:
            self._machine = _machine(_loaded(native_file(path)), executor, tvm.cpu())
        except (RuntimeError, ValueError, AttributeError, TypeError) as error:
            raise MemoptError(
                f"{self.path}: not a module of Relay's {executor} executor for this machine: {last_line(error)}"
            ) from None

    def set_inputs(self, arrays: Sequence[np.ndarray]) -> None:
        """Copy one array to each input. Raises MemoptError if they do not fit."""
        import tvm

        values = [tvm.nd.array(np.ascontiguousarray(array)) for array in arrays]
        try:
            if self.executor == "vm":
                self._machine.set_input("main", *values)
                return
            for name, value in zip(self.inputs, values, strict=True):
                self._machine.set_input(name, value)
        except (RuntimeError, ValueError, TypeError) as error:
            raise MemoptError(f"{self.path}: the inputs do not fit the module: {last_line(error)}") from None

    def run(self) -> Any:
        """Run once on the inputs that were set."""
        try:
            return self._machine.run()
        except (RuntimeError, ValueError, TypeError) as error:
            raise MemoptError(f"{self.path}: the run failed: {last_line(error)}") from None

    def outputs(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """The flattened results of one run on ``arrays``."""
        self.set_inputs(arrays)
        result = self.run()
        if self.executor == "vm":
            return tuple(_leaves(result))
        return tuple(self._machine.get_output(i).numpy() for i in range(self._machine.get_num_outputs()))


def _machine(library: Any, executor: str, device: Any) -> Any:
    import tvm
    from tvm.contrib import graph_executor

    if executor == "vm":
        return tvm.runtime.vm.VirtualMachine(library, device)
    made = library["default"](device)
    return tvm.runtime.executor.AotModule(made) if executor == "aot" else graph_executor.GraphModule(made)


def _loaded(path: Path) -> Any:
    """Load a copy of the file: the dynamic loader would take an older library of the same name."""
    import tvm

    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        return tvm.runtime.load_module(shutil.copy(path, folder))


def _leaves(value: Any) -> list[np.ndarray]:
    if hasattr(value, "numpy"):
        return [value.numpy()]
    return [leaf for part in value for leaf in _leaves(part)]


def compare_relay_times(
    modules: Mapping[str, RelayModule], inputs: Sequence[np.ndarray], repeats: int, *, baseline: str
) -> TimeComparison:
    """Run every module once per round, in alternating order, for ``repeats`` rounds in this process.

    Copies of inputs and outputs are not timed. The ratios are to ``baseline``.
    """
    for module in modules.values():
        module.set_inputs(inputs)
        for _ in range(WARM_UP_ROUNDS):
            module.run()
    return interleaved({name: module.run for name, module in modules.items()}, repeats, baseline)
