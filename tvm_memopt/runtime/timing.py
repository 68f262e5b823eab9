"""Compare the run times of several builds of one model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.execute import call, to_tensors
from tvm_memopt.runtime.loading import CompiledModule, entry, load_machine

WARM_UP_ROUNDS = 2
CLOCK_TICK = 1e-9  # seconds; keeps the ratio finite for calls shorter than the clock's resolution


@dataclass(frozen=True, slots=True)
class Spread:
    """Samples in the order in which they were taken, with median and quartiles."""

    median: float
    low: float
    high: float
    samples: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TimeComparison:
    """Seconds per call of each build, in wall-clock and process CPU time, with ratios taken round by round.

    Without CPU times, as on a device, the two ``cpu`` mappings are empty. A ratio is a build's seconds divided by those
    of ``baseline`` in the same round, so that varying load cancels out.
    """

    baseline: str
    wall_seconds: Mapping[str, Spread]
    cpu_seconds: Mapping[str, Spread]
    wall_ratio: Mapping[str, Spread]
    cpu_ratio: Mapping[str, Spread]


def compare_times(
    modules: Mapping[str, CompiledModule],
    inputs: Sequence[np.ndarray] | Mapping[str, Sequence[np.ndarray]],
    repeats: int = 20,
    *,
    function: str = "main",
    baseline: str | None = None,
) -> TimeComparison:
    """Call every build once per round, in alternating order, for ``repeats`` rounds in this process.

    ``inputs``: the same for all builds, or by build name. ``baseline``: the last of ``modules`` by default. Uses the
    pooled allocator, TVM's default. Raises MemoptError for an empty comparison or a build that cannot run.
    """
    reference = baseline if baseline is not None else next(reversed(list(modules)), None)
    if reference is None or reference not in modules or repeats < 1:
        names = ", ".join(modules) or "none"
        raise MemoptError(f"cannot compare {names} with {reference} over {repeats} rounds: expected 1 or more of each")
    of = inputs if isinstance(inputs, Mapping) else dict.fromkeys(modules, inputs)
    calls = {name: _caller(module, of[name], function) for name, module in modules.items()}
    return interleaved(calls, repeats, reference)


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int, reference: str) -> TimeComparison:
    """Time every call once per round, in alternating order. The ratios are to the call named ``reference``."""
    wall, cpu = _interleave(calls, repeats)
    return TimeComparison(
        baseline=reference,
        wall_seconds={name: spread(samples) for name, samples in wall.items()},
        cpu_seconds={name: spread(samples) for name, samples in cpu.items()},
        wall_ratio=_ratios(wall, reference),
        cpu_ratio=_ratios(cpu, reference),
    )


def wall_comparison(samples: Mapping[str, Sequence[float]], reference: str) -> TimeComparison:
    """A comparison of wall-clock seconds that were taken round by round elsewhere. It has no CPU times."""
    return TimeComparison(
        baseline=reference,
        wall_seconds={name: spread(own) for name, own in samples.items()},
        cpu_seconds={},
        wall_ratio=_ratios(samples, reference),
        cpu_ratio={},
    )


def spread(samples: Sequence[float]) -> Spread:
    """Median and quartiles, linearly interpolated between samples."""
    low, median, high = (float(q) for q in np.percentile(samples, [25, 50, 75]))
    return Spread(median=median, low=low, high=high, samples=tuple(samples))


def _caller(module: CompiledModule, inputs: Sequence[np.ndarray], function: str) -> Callable[[], object]:
    compiled, tensors = entry(load_machine(module), function), to_tensors(inputs)
    for _ in range(WARM_UP_ROUNDS):
        call(compiled, tensors, function)
    return lambda: compiled(*tensors)


def _interleave(
    calls: Mapping[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats):
        for name in list(calls) if turn % 2 == 0 else list(calls)[::-1]:
            wall_start, cpu_start = time.perf_counter(), time.process_time()
            calls[name]()
            cpu[name].append(time.process_time() - cpu_start)
            wall[name].append(time.perf_counter() - wall_start)
    return wall, cpu


def _ratios(samples: Mapping[str, Sequence[float]], reference: str) -> dict[str, Spread]:
    base = [max(seconds, CLOCK_TICK) for seconds in samples[reference]]
    return {name: spread([a / b for a, b in zip(own, base, strict=True)]) for name, own in samples.items()}
