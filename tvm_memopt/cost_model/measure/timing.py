"""CPU seconds of a call. Wall-clock time, which MetaSchedule's timer reads, is too noisy on a shared machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True, slots=True)
class Timing:
    """How a candidate is timed.

    ``repeats``: number of samples of at least ``min_repeat_seconds`` of CPU time each. Three samples are taken if one
    run takes longer than ``long_run_seconds``, and one if it takes ten times that.
    """

    repeats: int = 5
    min_repeat_seconds: float = 0.01
    long_run_seconds: float = 0.1


def cpu_seconds(
    function: Callable[..., object], arguments: Sequence[tvm.runtime.Tensor], timing: Timing
) -> list[float]:
    """CPU seconds of one call, for each repeat. ``function`` must have been called on ``arguments`` before.

    Reads the CPU clock of the process, so it is meaningful only if TVM_NUM_THREADS=1 is set before TVM starts threads.
    """
    start = time.process_time()
    function(*arguments)
    once = max(time.process_time() - start, 1e-7)
    repeats, calls = repeats_and_calls(once, timing)
    samples = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(calls):
            function(*arguments)
        samples.append((time.process_time() - start) / calls)
    return samples


def repeats_and_calls(once: float, timing: Timing) -> tuple[int, int]:
    """How many samples to take, and calls for each, of a kernel that takes ``once`` seconds."""
    longest = timing.long_run_seconds
    repeats = min(timing.repeats, 1 if once > 10 * longest else 3 if once > longest else timing.repeats)
    calls = int(timing.min_repeat_seconds / max(once, 1e-7)) + 1 if once < timing.min_repeat_seconds else 1
    return repeats, calls
