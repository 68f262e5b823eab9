"""Runs an imported module the way a user would: compiled for the host, in the bytecode virtual machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tvm
from tvm import relax

QUICK = tvm.target.Target({"kind": "llvm", "opt-level": 0})  # LLVM's optimiser takes most of the time of a build


def run_main(mod: tvm.IRModule, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    executable = tvm.compile(mod, QUICK)
    machine = relax.VirtualMachine(executable, tvm.cpu())
    result = machine["main"](*(tvm.runtime.tensor(one) for one in inputs))
    outputs = [result] if isinstance(result, tvm.runtime.Tensor) else list(result)
    return [one.numpy() for one in outputs]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference over the largest absolute reference value."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
