"""A compiled module beside the unmodified build: outputs, memory and time, all measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tvm_memopt.report import BuildFigures
from tvm_memopt.runtime import (
    MemoryMeasurement,
    TimeComparison,
    compare_times,
    measure_memory,
    outputs_equal,
    run_module,
)


@dataclass(frozen=True)
class Comparison:
    """``planned_arena_nbytes`` is what the plan says; the rest is measured. Without an unmodified build the
    last three are None."""

    planned_arena_nbytes: int
    planned: MemoryMeasurement
    unmodified: MemoryMeasurement | None = None
    times: TimeComparison | None = None
    outputs_equal: bool | None = None

    @property
    def arena_as_planned(self) -> bool:
        """Whether the runtime allocated exactly the plan's arena (a caller-owned one is not allocated)."""
        return self.planned.arena_nbytes in (self.planned_arena_nbytes, 0)

    def document(self) -> dict[str, Any]:
        """Figures for programs."""
        return {
            "planned_arena_nbytes": self.planned_arena_nbytes,
            "arena_as_planned": self.arena_as_planned,
            "outputs_equal": self.outputs_equal,
            "planned": _memory(self.planned),
            "unmodified": None if self.unmodified is None else _memory(self.unmodified),
            "seconds": None if self.times is None else _times(self.times),
        }


def _memory(measured: MemoryMeasurement) -> dict[str, Any]:
    figures = asdict(measured)
    figures.pop("storages")
    figures["total_nbytes"] = total_nbytes(measured)
    return figures


def _times(times: TimeComparison) -> dict[str, Any]:
    return {
        "cpu_median": {name: spread.median for name, spread in times.cpu_seconds.items()},
        "wall_median": {name: spread.median for name, spread in times.wall_seconds.items()},
        "cpu_ratio_median": {name: spread.median for name, spread in times.cpu_ratio.items()},
    }


def total_nbytes(measured: MemoryMeasurement) -> int:
    """Storages, returned tensors and kernel scratch, each byte that the call really allocated."""
    return int(measured.storage_nbytes + measured.returned_nbytes + measured.workspace_requested_nbytes)


def compare(
    module: Any,
    unmodified: Any | None,
    inputs: Sequence[np.ndarray],
    arena_nbytes: int,
    *,
    caller_arena: bool,
    repeats: int,
) -> Comparison:
    """Measure ``module``, and ``unmodified`` beside it where given, on the same inputs."""
    own = [*inputs, np.zeros(arena_nbytes, np.uint8)] if caller_arena else list(inputs)
    memory = measure_memory(module, own)
    if unmodified is None:
        return Comparison(arena_nbytes, memory)
    times = compare_times(
        {"planned": module, "unmodified": unmodified}, {"planned": own, "unmodified": list(inputs)}, repeats
    )
    equal = outputs_equal(run_module(module, own), run_module(unmodified, inputs))
    return Comparison(arena_nbytes, memory, measure_memory(unmodified, inputs), times, equal)


def figures(measured: MemoryMeasurement | None, planned_nbytes: int | None, seconds: float | None) -> BuildFigures:
    """The columns of the report for one build."""
    if measured is None:
        return BuildFigures(planned_nbytes=planned_nbytes)
    return BuildFigures(
        planned_nbytes=planned_nbytes,
        arena_nbytes=measured.storage_nbytes,
        returned_nbytes=measured.returned_nbytes,
        workspace_nbytes=measured.workspace_requested_nbytes,
        seconds=seconds,
    )


def text(comparison: Comparison) -> str:
    """The measurement for people."""
    rows: list[tuple[str, ...]] = [("", "arena/storages", "returned", "kernel scratch", "total", "peak")]
    for name, measured in (("planned", comparison.planned), ("unmodified", comparison.unmodified)):
        if measured is not None:
            numbers = (
                measured.storage_nbytes, measured.returned_nbytes, measured.workspace_requested_nbytes,
                total_nbytes(measured), measured.peak_nbytes,
            )  # fmt: skip
            rows.append((name, *(f"{n:,}" for n in numbers)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.append(
        f"arena of the plan: {comparison.planned_arena_nbytes:,} bytes, "
        + ("as measured" if comparison.arena_as_planned else f"but measured {comparison.planned.arena_nbytes:,}")
    )
    if comparison.unmodified is not None:
        share = total_nbytes(comparison.planned) / max(total_nbytes(comparison.unmodified), 1)
        lines.append(f"bytes really allocated: {share:.3f} of the unmodified build's")
    if comparison.times is not None:
        ratio = comparison.times.cpu_ratio["planned"]
        seconds = comparison.times.cpu_seconds
        lines.append(
            f"CPU time a call: {seconds['planned'].median * 1e3:.3f} ms, "
            f"unmodified {seconds['unmodified'].median * 1e3:.3f} ms, "
            f"ratio {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
        )
    if comparison.outputs_equal is not None:
        lines.append("outputs: equal bit for bit" if comparison.outputs_equal else "outputs: DIFFERENT")
    return "\n".join(lines)
