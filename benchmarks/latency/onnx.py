"""onnxruntime with one thread: a call to time, and the bytes of its first call.

``python -m benchmarks.latency.onnx MODEL INPUTS`` prints the bytes; it runs with the allocator interposer preloaded.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def onnx_call(path: Path, inputs: Sequence[np.ndarray], *, arena: bool = True) -> Callable[[], object]:
    """A call of the model. ``arena``: onnxruntime's own pool, its default; without it, bytes are exact."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = arena
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed: dict[str, Any] = dict(zip([item.name for item in session.get_inputs()], inputs, strict=True))
    session.run(None, feed)
    return lambda: session.run(None, feed)


def onnx_peak_nbytes(path: Path, inputs: Sequence[np.ndarray]) -> int:
    """Peak bytes of a call in a process of its own, weights and inputs left out."""
    from tvm_memopt.runtime.interposer import preload_environment

    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "inputs.npz"
        np.savez(stored, *inputs)
        command = [sys.executable, "-m", "benchmarks.latency.onnx", str(path), str(stored)]
        run = subprocess.run(command, env=preload_environment(), capture_output=True, text=True, check=True)
    return int(run.stdout.split()[-1])


def main(path: str, stored: str) -> int:
    """Count the bytes of the second call: the first may keep packed weights."""
    import tvm  # noqa: F401  # the interposer finds TVM's runtime

    from tvm_memopt.runtime.interposer import Meter

    with np.load(stored) as arrays:
        inputs = [arrays[name] for name in arrays.files]
    call, meter = onnx_call(Path(path), inputs, arena=False), Meter()
    before = meter.counters()
    meter.start()
    call()
    meter.stop()
    after = meter.counters()
    print(sum(after[name].peak - before[name].current for name in ("aligned", "host")))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:3]))
