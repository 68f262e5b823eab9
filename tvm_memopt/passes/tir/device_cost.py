"""Kernel costs in seconds, measured on a device behind RPC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import tvm
from tvm import tirx

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.native_output import native_stderr_discarded
from tvm_memopt.passes.tir.cost import (
    MEASURE_REPEATS,
    cost_key,
    default_cache,
    is_measurable,
    read_cache,
    roofline_seconds,
    target_rates,
    zero_arrays,
)
from tvm_memopt.targets.rpc import Device
from tvm_memopt.targets.toolchain import linker_for


def device_costs(
    kernels: Mapping[str, tirx.PrimFunc],
    target: tvm.target.Target,
    *,
    device: Device,
    cc: str | None = None,
    cache: Path | None = None,
) -> dict[str, float]:
    """Seconds by kernel name on ``device``, as cost.measured_costs on this machine, with the same cache.

    Each kernel is linked here and uploaded. Raises MemoptError if nothing can link for ``target``, and DeviceError.
    """
    path, rates = cache or default_cache(), target_rates(target)
    known, found = read_cache(path), {}
    linker = linker_for(target, cc)
    for name, func in kernels.items():
        if not is_measurable(func):
            found[name] = roofline_seconds(func, rates)
            continue
        key = cost_key(func, target, str(device))
        if key not in known:
            known[key] = _measure(func, target, device, linker)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(path, json.dumps(known, indent=1, sort_keys=True))  # kept if the device goes away later
        found[name] = known[key]
    return found


def _measure(func: tirx.PrimFunc, target: tvm.target.Target, device: Device, linker: object) -> float:
    built = tvm.compile(tvm.IRModule({"main": func.with_attr("global_symbol", "main")}), target)
    arrays = zero_arrays(func)
    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        library = Path(folder, "kernel.so")
        with native_stderr_discarded():
            built.export_library(str(library), fcompile=linker)

        def work() -> float:
            with device.session() as session:
                module, arguments = session.load(library), session.tensors(arrays)
                with session.doing("timing a kernel"):
                    timer = module.time_evaluator("main", session.cpu, number=1, repeat=MEASURE_REPEATS)
                    return float(min(timer(*arguments).results))

        return device.retried(work)
