"""Measure compiled modules on a device behind RPC: outputs, memory and time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.array_file import load_arrays, save_arrays
from tvm_memopt.runtime.child import run_in_child
from tvm_memopt.runtime.interposer import build_device_meter
from tvm_memopt.runtime.loading import existing_file
from tvm_memopt.runtime.measure import MemoryMeasurement, summarised
from tvm_memopt.runtime.remote_job import Work
from tvm_memopt.targets.elf import machine_of
from tvm_memopt.targets.rpc.device import Device
from tvm_memopt.targets.rpc.failures import DeviceTimeoutError
from tvm_memopt.targets.toolchain import c_compiler_for

_SPARE_SECONDS = 60.0  # to start the child, to upload and to fetch


@dataclass(frozen=True, slots=True)
class RemoteMeasurement:
    """What one build did on the device. ``seconds``: wall-clock seconds of each timed call, by the device's clock."""

    outputs: tuple[np.ndarray, ...]
    memory: MemoryMeasurement
    seconds: tuple[float, ...]


def measure_remote(
    device: Device,
    modules: Mapping[str, str | os.PathLike[str]],
    inputs: Mapping[str, Sequence[np.ndarray]],
    repeats: int,
    *,
    function: str = "main",
    cc: str | None = None,
) -> dict[str, RemoteMeasurement]:
    """Run each module (path by name) on the device. Memory is counted by a meter that is uploaded with it.

    ``repeats``: timed calls of each, in alternation. ``cc``: the compiler that links for the device; a C compiler for
    it must be installed here. Raises MemoptError, and DeviceError if the device fails. Work that loses the device is
    tried again.
    """
    paths = {name: str(existing_file(path)) for name, path in modules.items()}
    machines = {machine_of(path) for path in paths.values()}
    if len(machines) != 1:
        raise MemoptError(f"the modules are for different machines: {', '.join(sorted(machines))}")
    (machine,) = machines
    meter = build_device_meter(c_compiler_for(machine, cc), machine)
    return device.retried(lambda: _measured(device, paths, inputs, repeats, function, meter))


def _measured(
    device: Device,
    paths: Mapping[str, str],
    inputs: Mapping[str, Sequence[np.ndarray]],
    repeats: int,
    function: str,
    meter: Path,
) -> dict[str, RemoteMeasurement]:
    deadline = device.busy + (len(paths) + 1) * device.timeout + _SPARE_SECONDS
    with TemporaryDirectory(prefix="tvm-memopt-") as name:
        folder = Path(name)
        for build, arrays in inputs.items():
            save_arrays(folder / f"{build}.npz", arrays)
        request = {
            "device": asdict(device), "modules": dict(paths), "meter": str(meter), "repeats": repeats,
            "function": function,
        }  # fmt: skip
        try:
            found: Work = run_in_child("remote", folder, request, os.environ, deadline)
        except DeviceTimeoutError as error:
            raise DeviceTimeoutError(f"{device}: {error}") from None
        return {
            build: RemoteMeasurement(
                tuple(load_arrays(folder / f"{build}.out.npz")),
                summarised(found["memory"][build]),
                tuple(found["seconds"][build]),
            )
            for build in paths
        }
