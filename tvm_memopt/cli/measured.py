"""Measured comparison of a compiled module with the unmodified build: outputs, memory and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tvm_memopt.report import BuildFigures
from tvm_memopt.runtime import (
    MemoryMeasurement,
    Spread,
    TimeComparison,
    compare_times,
    measure_memory,
    outputs_equal,
    run_module,
)

if TYPE_CHECKING:
    from tvm_memopt.cli.programs.compare import ProgramComparison
    from tvm_memopt.runtime.loading import CompiledModule


@dataclass(frozen=True)
class Comparison:
    """Measurements of a compiled module, and of the unmodified build if there is one.

    ``planned_arena_nbytes``: the arena of the plan (None: nothing was planned). ``caller_arena_nbytes``: the arena
    passed in by the caller (0: the module allocates its own). The rest is measured; without an unmodified build the
    last three are None. ``arena_position``: index of the arena among the call's storages, if the function may allocate
    others, such as tensors whose size is known only at run time; None if it allocates no others.
    ``largest_difference``: of the outputs, divided by the largest value; None where they are equal.
    """

    planned_arena_nbytes: int | None
    caller_arena_nbytes: int
    planned: MemoryMeasurement
    unmodified: MemoryMeasurement | None = None
    times: TimeComparison | None = None
    outputs_equal: bool | None = None
    arena_position: int | None = None
    largest_difference: float | None = None

    @property
    def own_arena_nbytes(self) -> int:
        """Bytes of the arena that the module allocates itself."""
        return (self.planned_arena_nbytes or 0) - self.caller_arena_nbytes

    @property
    def beside(self) -> bool:
        """Whether the call may allocate storage in addition to the arena."""
        return self.arena_position is not None

    @property
    def beside_arena_nbytes(self) -> int:
        """Total bytes of all storages that the call allocated in addition to the arena. They need not be live at the
        same time."""
        return int(self.planned.storage_nbytes) - self.own_arena_nbytes if self.beside else 0

    @property
    def arena_as_planned(self) -> bool | None:
        """Whether the runtime allocated exactly the plan's arena, or nothing in addition to the caller's arena.

        With outputs inside it, the arena is returned. None if nothing was planned, or if a function that allocates
        other storages has no arena of its own. With other storages, the arena need not be the largest: it is the first
        that the function itself allocates.
        """
        if self.planned_arena_nbytes is None or (self.beside and not self.own_arena_nbytes):
            return None
        if self.arena_position is not None:
            found = self.planned.storages[self.arena_position : self.arena_position + 1]
            return bool(found) and not found[0].returned and found[0].nbytes == self.own_arena_nbytes
        returned = [storage.nbytes for storage in self.planned.storages if storage.returned]
        held_outputs = not self.planned.storage_nbytes and returned == [self.own_arena_nbytes]
        return bool(self.planned.arena_nbytes == self.own_arena_nbytes or held_outputs)

    @property
    def planned_total_nbytes(self) -> int:
        """As total_nbytes, including the caller's arena."""
        return total_nbytes(self.planned) + self.caller_arena_nbytes

    def document(self) -> dict[str, object]:
        """The measurements, for JSON output."""
        return {
            "planned_arena_nbytes": self.planned_arena_nbytes,
            "arena_as_planned": self.arena_as_planned,
            "beside_arena_nbytes": self.beside_arena_nbytes,
            "caller_arena_nbytes": self.caller_arena_nbytes,
            "outputs_equal": self.outputs_equal,
            "largest_difference": self.largest_difference,
            "planned": {**_memory(self.planned), "total_nbytes": self.planned_total_nbytes},
            "unmodified": None if self.unmodified is None else _memory(self.unmodified),
            "seconds": None if self.times is None else _times(self.times),
        }


Measured: TypeAlias = "Comparison | ProgramComparison"


def _memory(measured: MemoryMeasurement) -> dict[str, object]:
    figures = asdict(measured)
    figures.pop("storages")
    figures["total_nbytes"] = total_nbytes(measured)
    return figures


def _times(times: TimeComparison) -> dict[str, object]:
    return {
        "cpu_median": {name: spread.median for name, spread in times.cpu_seconds.items()},
        "wall_median": {name: spread.median for name, spread in times.wall_seconds.items()},
        "cpu_ratio_median": {name: spread.median for name, spread in times.cpu_ratio.items()},
    }


def total_nbytes(measured: MemoryMeasurement) -> int:
    """All bytes that the call really allocated: storages, returned tensors and kernel scratch."""
    return int(measured.storage_nbytes + measured.returned_nbytes + measured.workspace_requested_nbytes)


def compare(
    module: CompiledModule,
    unmodified: CompiledModule | None,
    inputs: Sequence[np.ndarray],
    arena_nbytes: int | None,
    *,
    caller_arena: bool,
    repeats: int,
    arena_position: int | None = None,
) -> Comparison:
    """Measure ``module``, and ``unmodified`` if given, on the same inputs."""
    passed = arena_nbytes if caller_arena and arena_nbytes is not None else 0
    own = [*inputs, np.zeros(passed, np.uint8)] if caller_arena else list(inputs)
    memory = measure_memory(module, own)
    if unmodified is None:
        return Comparison(arena_nbytes, passed, memory, arena_position=arena_position)
    times = compare_times(
        {"planned": module, "unmodified": unmodified}, {"planned": own, "unmodified": list(inputs)}, repeats
    )
    outputs, expected = run_module(module, own), run_module(unmodified, inputs)
    equal = outputs_equal(outputs, expected)
    difference = None if equal else difference_of_outputs(outputs, expected)
    other = measure_memory(unmodified, inputs)
    return Comparison(arena_nbytes, passed, memory, other, times, equal, arena_position, difference)


def largest_difference(module: CompiledModule, other: CompiledModule, inputs: Sequence[np.ndarray]) -> float:
    """Largest absolute difference between the outputs of two modules, divided by the other's largest absolute value."""
    return difference_of_outputs(run_module(module, inputs), run_module(other, inputs))


def difference_of_outputs(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The same for outputs that are there already."""
    worst = 0.0
    for mine, theirs in zip(found, expected, strict=True):
        a, b = np.asarray(mine, np.float64), np.asarray(theirs, np.float64)
        worst = max(worst, float(np.abs(a - b).max(initial=0.0)) / max(float(np.abs(b).max(initial=0.0)), 1e-30))
    return worst


def figures(
    measured: MemoryMeasurement | None, planned_nbytes: int | None, seconds: float | None, caller_arena_nbytes: int = 0
) -> BuildFigures:
    """The columns of the report for one build. A caller-owned arena is counted as the build's."""
    if measured is None:
        return BuildFigures(planned_nbytes=planned_nbytes)
    return BuildFigures(
        planned_nbytes=planned_nbytes,
        arena_nbytes=measured.storage_nbytes + caller_arena_nbytes,
        returned_nbytes=measured.returned_nbytes,
        workspace_nbytes=measured.workspace_requested_nbytes,
        seconds=seconds,
    )


def text(comparison: Comparison, *, rounding: bool = False) -> str:
    """The measurements as text. ``rounding``: the user asked for arithmetic that rounds otherwise."""
    lines = [*_table(comparison), _arena_line(comparison)]
    if comparison.unmodified is not None:
        share = comparison.planned_total_nbytes / max(total_nbytes(comparison.unmodified), 1)
        lines.append(f"bytes really allocated: {share:.3f} of the unmodified build's")
    if comparison.times is not None:
        clock, seconds, ratio = _clock(comparison.times)
        lines.append(
            f"{clock} a call: {seconds['planned'].median * 1e3:.3f} ms, "
            f"unmodified {seconds['unmodified'].median * 1e3:.3f} ms, "
            f"ratio {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
        )
    if comparison.outputs_equal is not None:
        lines.append(_outputs_line(comparison, rounding))
    return "\n".join(lines)


def _outputs_line(comparison: Comparison, rounding: bool) -> str:
    if comparison.outputs_equal:
        return "outputs: equal bit for bit"
    by = f"{comparison.largest_difference or 0.0:.1e} of the largest value"
    return (
        f"outputs: within {by}, as other rounding was asked for" if rounding else f"outputs: DIFFERENT, by up to {by}"
    )


def with_measured(
    document: dict[str, object], lines: list[str], comparison: Measured | None, *, rounding: bool = False
) -> tuple[dict[str, object], str]:
    """Add the measurements, if there are any, to a command's document and text. ``rounding``: as for text."""
    if comparison is None:
        return document, "\n".join(lines)
    told = text(comparison, rounding=rounding) if isinstance(comparison, Comparison) else comparison.text()
    return {**document, "measured": comparison.document()}, "\n".join([*lines, told])


def _clock(times: TimeComparison) -> tuple[str, Mapping[str, Spread], Spread]:
    """CPU times, or the wall-clock times of a device, which has no others."""
    if times.cpu_seconds:
        return "CPU time", times.cpu_seconds, times.cpu_ratio["planned"]
    return "time on the device", times.wall_seconds, times.wall_ratio["planned"]


def _table(comparison: Comparison) -> list[str]:
    rows: list[tuple[str, ...]] = [("bytes", "arena/storages", "returned", "kernel scratch", "total", "peak")]
    passed = comparison.caller_arena_nbytes
    for name, measured, own in (("planned", comparison.planned, passed), ("unmodified", comparison.unmodified, 0)):
        if measured is not None:
            numbers = (
                measured.storage_nbytes + own, measured.returned_nbytes, measured.workspace_requested_nbytes,
                total_nbytes(measured) + own, measured.peak_nbytes + own,
            )  # fmt: skip
            rows.append((name, *(f"{n:,}" for n in numbers)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]


def _arena_line(comparison: Comparison) -> str:
    if comparison.planned_arena_nbytes is None:
        return "no arena: nothing of this module was planned"
    found, line = comparison.planned.arena_nbytes, f"arena of the plan: {comparison.planned_arena_nbytes:,} bytes, "
    if comparison.caller_arena_nbytes:
        beside = "" if comparison.arena_as_planned else f", but the module allocated {found:,} beside it"
        return f"{line}passed in by the caller and counted above{beside}"
    nbytes = comparison.beside_arena_nbytes
    beside = f"; beside it the call allocated {nbytes:,} bytes in all" if nbytes else ""
    if comparison.arena_as_planned is None:
        return f"{line}not checked, since none is allocated{beside}"
    return line + ("as measured" + beside if comparison.arena_as_planned else f"but measured {found:,}")
