"""Measured comparison of a compiled module with the unmodified build, both on a device behind RPC."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from tvm_memopt.cli.measured import Comparison, difference_of_outputs
from tvm_memopt.runtime import outputs_equal
from tvm_memopt.runtime.remote import measure_remote
from tvm_memopt.runtime.timing import wall_comparison

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.targets.rpc import Device


@dataclass(frozen=True)
class RemoteComparison:
    """A comparison, and the outputs of both builds. ``unmodified_outputs`` is empty if there was no other build."""

    comparison: Comparison
    outputs: tuple[np.ndarray, ...]
    unmodified_outputs: tuple[np.ndarray, ...]


def compare_remote(
    device: Device,
    module: str | os.PathLike[str],
    unmodified: tvm.runtime.Executable | None,
    target: tvm.target.Target,
    inputs: Sequence[np.ndarray],
    arena_nbytes: int | None,
    *,
    caller_arena: bool,
    repeats: int,
    arena_position: int | None = None,
    cc: str | None = None,
) -> RemoteComparison:
    """Measure ``module``, and the executable ``unmodified`` if given, on the device, which ``target`` describes."""
    from tvm_memopt.passes.build import export_module

    passed = arena_nbytes if caller_arena and arena_nbytes is not None else 0
    own = [*inputs, np.zeros(passed, np.uint8)] if caller_arena else list(inputs)
    paths: dict[str, str | os.PathLike[str]] = {"planned": module}
    arrays: dict[str, Sequence[np.ndarray]] = {"planned": own}
    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        if unmodified is not None:
            paths["unmodified"] = Path(folder, "unmodified.so")
            arrays["unmodified"] = list(inputs)
            export_module(unmodified, paths["unmodified"], target, cc)
        found = measure_remote(device, paths, arrays, repeats, cc=cc)
    planned, other = found["planned"], found.get("unmodified")
    if other is None:
        comparison = Comparison(arena_nbytes, passed, planned.memory, arena_position=arena_position)
        return RemoteComparison(comparison, planned.outputs, ())
    times = wall_comparison({name: one.seconds for name, one in found.items()}, "unmodified")
    equal = outputs_equal(planned.outputs, other.outputs)
    difference = None if equal else difference_of_outputs(planned.outputs, other.outputs)
    memory, unplanned = planned.memory, other.memory
    comparison = Comparison(arena_nbytes, passed, memory, unplanned, times, equal, arena_position, difference)
    return RemoteComparison(comparison, planned.outputs, other.outputs)
