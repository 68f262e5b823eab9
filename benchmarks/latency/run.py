"""One model: builds, times, memory and outputs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def measure_model(name: str, schedule_seconds: float, repeats: int, trials: int) -> dict[str, Any]:
    """CPU milliseconds a call, peak bytes and the largest difference of outputs, by build. All with one thread."""
    from benchmarks import zoo
    from benchmarks.latency.onnx import onnx_call, onnx_peak_nbytes
    from tvm_memopt.cost_model.measure.builds import host_target
    from tvm_memopt.cost_model.tuner.predicted.scheduler import PredictedSchedules
    from tvm_memopt.passes.build import build_planned, build_unmodified
    from tvm_memopt.passes.relax.planning import PlanOptions
    from tvm_memopt.runtime import measure_memory
    from tvm_memopt.runtime.timing import interleaved

    target, mod, path = host_target(1), zoo.MODELS[name].load(), zoo.MODELS[name].source()
    inputs = [np.asarray(array) for array in zoo.load_inputs(name, 0)]
    schedules, started = PredictedSchedules(schedule_seconds), time.monotonic()
    planned = build_planned(mod, target, PlanOptions(), schedules=schedules)
    seconds = planned.seconds["schedule"]
    modules = {"predicted": planned.executable, "default": build_unmodified(mod, target)}
    with tempfile.TemporaryDirectory() as folder:
        if trials:
            modules["tuned"] = _tuned(path, mod, Path(folder), trials)
        memory = {build: measure_memory(module, inputs) for build, module in modules.items()}
        calls, difference = _calls(modules, inputs)
        peaks = {build: found.peak_nbytes for build, found in memory.items()}
        if path.suffix == ".onnx":
            calls["onnxruntime"] = onnx_call(path, inputs)
            peaks["onnxruntime"] = onnx_peak_nbytes(path, inputs)
        times = interleaved(calls, repeats, "default")
    arena = planned.planned.functions["main"].plan.arena_nbytes
    return {
        "kernels": len(schedules.tasks),
        "scheduled": schedules.scheduled,
        "search_seconds": seconds,
        "seconds": time.monotonic() - started,
        "cpu_ms": {build: spread.median * 1e3 for build, spread in times.cpu_seconds.items()},
        "wall_ms": {build: spread.median * 1e3 for build, spread in times.wall_seconds.items()},
        "difference": difference,
        "arena_nbytes": arena,
        "as_planned": memory["predicted"].arena_nbytes == arena,
        "kept_scratch_nbytes": memory["predicted"].workspace_requested_nbytes,
        "peak_nbytes": peaks,
    }


def _tuned(path: Path, mod: Any, folder: Path, trials: int) -> str:
    """The module that ``tvm-memopt tune`` makes."""
    from tvm.ir import save_json

    model = path
    if path.suffix not in (".onnx", ".tflite", ".pt2"):
        model = folder / "model.json"
        model.write_text(save_json(mod))
    command = [sys.executable, "-m", "tvm_memopt.cli.main", "tune", str(model), "-o", str(folder / "tuned.so")]
    subprocess.run([*command, "--work-dir", str(folder / "work"), "--trials", str(trials)], check=True)
    return str(folder / "tuned.so")


def _calls(modules: dict[str, Any], inputs: Sequence[np.ndarray]) -> tuple[dict[str, Callable[[], object]], float]:
    """A call of each build, and the largest difference of the predicted build's outputs from the default's."""
    from tvm_memopt.runtime.execute import call, leaves, to_tensors
    from tvm_memopt.runtime.loading import entry, load_machine

    tensors, outputs, calls = to_tensors(inputs), {}, {}
    for name, module in modules.items():
        compiled = entry(load_machine(module), "main")
        outputs[name] = [leaf.numpy() for leaf in leaves(call(compiled, tensors, "main")) if hasattr(leaf, "numpy")]
        calls[name] = lambda compiled=compiled: compiled(*tensors)
    return calls, max(map(_difference, outputs["predicted"], outputs["default"]), default=0.0)


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest value."""
    wide = expected.astype("float64")
    return float(np.abs(found.astype("float64") - wide).max(initial=0) / max(np.abs(wide).max(initial=0), 1e-30))
