"""MetaSchedule without the traps that make a plain tune time out.

Its build workers import every GPU, ARM and Hexagon intrinsic, which takes longer than their time limit
where torch is installed; its timer reads the wall clock, which is noise on a shared machine. Here a worker
imports what a CPU target needs, builds, and times by CPU seconds with one kernel thread.
"""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tvm

_INTRINSICS = "tvm.s_tir.tensor_intrin"


@dataclass(frozen=True, slots=True)
class Timing:
    """How a candidate is timed: ``repeats`` samples of at least ``min_repeat_seconds`` of CPU time each; three
    where one run takes longer than ``long_run_seconds``, one where it takes ten times that."""

    repeats: int = 5
    min_repeat_seconds: float = 0.01
    long_run_seconds: float = 0.1


def skip_gpu_intrinsics() -> None:
    """Put a light package in the place of TVM's intrinsics, before anything imports the whole; x86's are kept."""
    if _INTRINSICS in sys.modules:
        return
    import tvm.s_tir

    folder = os.path.join(os.path.dirname(tvm.s_tir.__file__), "tensor_intrin")  # noqa: PTH118, PTH120
    package = types.ModuleType(_INTRINSICS)
    package.__path__ = [folder]
    sys.modules[_INTRINSICS] = tvm.s_tir.tensor_intrin = package
    __import__(f"{_INTRINSICS}.x86")


def host_target(cores: int | None = None) -> tvm.target.Target:
    """A target for this processor with nothing newer than AVX2, so that data from like machines agree."""
    import tvm

    description: dict[str, Any] = {"kind": "llvm", "num-cores": cores or os.cpu_count() or 1}
    if os.uname().machine in ("x86_64", "amd64"):
        description["mcpu"] = "x86-64-v3"
    return tvm.target.Target(description)


def with_packed_weights(mod: tvm.IRModule) -> tvm.IRModule:
    """What is timed of a schedule that packs a weight first: the weight comes in the packed shape, as a parameter."""
    from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock

    return RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(mod)


def build(mod: tvm.IRModule, target: tvm.target.Target, _params: Any = None) -> tvm.runtime.Module:
    """MetaSchedule's default build without its import of all intrinsics."""
    return build_packed(with_packed_weights(mod), target)


def build_packed(mod: tvm.IRModule, target: tvm.target.Target) -> tvm.runtime.Module:
    """The same of what with_packed_weights made."""
    from tvm.driver import build as tvm_build

    return tvm_build(mod, target=target)


def cpu_seconds(function: Any, arguments: Sequence[Any], timing: Timing) -> list[float]:
    """CPU seconds of one call, once a repeat; ``function`` has been called on ``arguments`` before.

    Reads the process's clock: meaningful with TVM_NUM_THREADS=1 in the environment before TVM starts threads.
    """
    start = time.process_time()
    function(*arguments)
    once = max(time.process_time() - start, 1e-7)
    longest = timing.long_run_seconds
    repeats = min(timing.repeats, 1 if once > 10 * longest else 3 if once > longest else timing.repeats)
    calls = max(1, int(timing.min_repeat_seconds / once) + 1) if once < timing.min_repeat_seconds else 1
    samples = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(calls):
            function(*arguments)
        samples.append((time.process_time() - start) / calls)
    return samples


def run_evaluator(rt_mod: Any, _device: Any, config: Any, repeated_args: Sequence[Sequence[Any]]) -> list[float]:
    """The same as a ``f_run_evaluator`` for MetaSchedule's own LocalRunner."""
    timing, seconds = Timing(repeats=config.repeat, min_repeat_seconds=config.min_repeat_ms * 1e-3), []
    for arguments in repeated_args:
        rt_mod["main"](*arguments)
        seconds += cpu_seconds(rt_mod["main"], arguments, timing)
    return seconds
