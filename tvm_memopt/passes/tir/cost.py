"""Kernel costs in seconds: measured on this machine, or estimated with a roofline model of the device."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tvm
import tvm_ffi
from tvm import s_tir, tirx

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.tir.statements import dtype_of, nbytes_of
from tvm_memopt.targets.cache import cache_directory
from tvm_memopt.targets.catalogue import profile_for
from tvm_memopt.targets.host import runs_here
from tvm_memopt.targets.profile import Rates

MEASURE_REPEATS = 7


def roofline_seconds(func: tirx.PrimFunc, rates: Rates) -> float:
    """Roofline estimate of one call, see Rates.seconds. Symbolic dimensions count as 1."""
    try:
        flops = float(s_tir.analysis.estimate_tir_flops(tvm.IRModule({"main": func})))
    except (tvm.error.TVMError, RuntimeError, ValueError):
        flops = 0.0  # TVM's estimator does not know a construct of the kernel: only its bytes count
    nbytes = sum(nbytes_of(p) or 0 for p in func.params if tirx.is_buffer_var(p))
    return rates.seconds(flops, nbytes)


def estimated_costs(
    kernels: Mapping[str, tirx.PrimFunc], target: tvm.target.Target, rates: Rates | None = None
) -> dict[str, float]:
    """Roofline seconds by kernel name. ``rates``: by default those of the built-in device closest to ``target``."""
    chosen = rates or target_rates(target)
    return {name: roofline_seconds(func, chosen) for name, func in kernels.items()}


def target_rates(target: tvm.target.Target) -> Rates:
    """The rates of the built-in device closest to ``target``."""
    return profile_for(target_triple(target), str(target.attrs.get("mcpu", "") or "")).rates


def target_triple(target: tvm.target.Target) -> str:
    """The LLVM triple of ``target``, or the host's if it has none."""
    return str(target.attrs.get("mtriple", "")) or os.uname().machine


def measured_costs(
    kernels: Mapping[str, tirx.PrimFunc], target: tvm.target.Target, *, cache: Path | None = None
) -> dict[str, float]:
    """Measured seconds by kernel name on this machine, cached on disk by structural hash, target and device.

    The minimum of several runs on zero-filled arguments, which varies least on a shared machine. Kernels with
    symbolic dimensions or scalar parameters fall back to the roofline estimate. Raises MemoptError if code for
    ``target`` cannot run on this machine.
    """
    if target.kind.name != "llvm" or not runs_here(target):
        raise MemoptError(
            f"target {target} cannot be measured on this machine: give costs of a device, or use the roofline"
        )
    path = cache or default_cache()
    known = read_cache(path)
    rates = target_rates(target)
    found, new = {}, False
    for name, func in kernels.items():
        if not is_measurable(func):
            found[name] = roofline_seconds(func, rates)
            continue
        key = cost_key(func, target)
        if key not in known:
            known[key], new = _measure(func, target), True
        found[name] = known[key]
    if new:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, json.dumps(known, indent=1, sort_keys=True))
    return found


def is_measurable(func: tirx.PrimFunc) -> bool:
    """Whether every parameter is a buffer of static shape."""
    return all(tirx.is_buffer_var(p) and nbytes_of(p) is not None for p in func.params)


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/tvm-memopt/costs.json``."""
    return cache_directory() / "costs.json"


def cost_key(func: tirx.PrimFunc, target: tvm.target.Target, device: str | None = None) -> str:
    """Cache key of a measurement: structural hash of the kernel, target, and device: by default this machine's CPU."""
    structure = tvm_ffi.structural_hash(func.without_attr("global_symbol") if _has_symbol(func) else func)
    where = device or f"{os.uname().machine}:{_cpu_name()}"
    return hashlib.sha256(f"{structure}|{target}|{where}".encode()).hexdigest()[:32]


def _has_symbol(func: tirx.PrimFunc) -> bool:
    return func.attrs is not None and "global_symbol" in func.attrs


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def read_cache(path: Path) -> dict[str, float]:
    """Seconds, or ratios of seconds, by key. Empty if the file is absent or damaged."""
    try:
        read = {str(k): float(v) for k, v in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # absent or damaged: measure again
    return {key: seconds for key, seconds in read.items() if math.isfinite(seconds) and seconds >= 0}


def _measure(func: tirx.PrimFunc, target: tvm.target.Target) -> float:
    built = tvm.compile(tvm.IRModule({"main": func.with_attr("global_symbol", "main")}), target)
    arguments = zero_arguments(func)
    timer = built.mod.time_evaluator("main", tvm.cpu(), number=1, repeat=MEASURE_REPEATS)
    return float(min(timer(*arguments).results))


def zero_arguments(func: tirx.PrimFunc) -> list[tvm.runtime.Tensor]:
    """A tensor of zeros for each parameter of a kernel with static shapes."""
    return [tvm.runtime.tensor(array) for array in zero_arrays(func)]


def zero_arrays(func: tirx.PrimFunc) -> list[np.ndarray]:
    """The same as numpy arrays."""
    return [_zeros(p) for p in func.params]


def _zeros(buffer: tvm.ir.Var) -> np.ndarray:
    import ml_dtypes  # registers TVM's narrow floats (bfloat16, float8_*) as numpy types

    name = dtype_of(buffer)
    dtype = getattr(ml_dtypes, name) if hasattr(ml_dtypes, name) else name
    return np.zeros([int(extent) for extent in buffer.shape], dtype)
