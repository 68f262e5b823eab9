"""Run a program beside the unmodified build as a program, here under QEMU or on a device: bits, places, counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_memopt.export.build import export_program, run_exported, unmodified_storage
from tvm_memopt.export.document import read_document, values
from tvm_memopt.export.outcome import Outcome, request
from tvm_memopt.export.placement import misplaced
from tvm_memopt.runtime import outputs_equal

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.targets.rpc import Device


@dataclass(frozen=True)
class ProgramComparison:
    """A run of a program, and of the unmodified build if there is one.

    ``planned_arena_nbytes``: None for a program without a plan. ``misplaced``: what is not where the plan has it.
    ``storage_nbytes``: buffers outside the arena, such as outputs.
    """

    planned_arena_nbytes: int | None
    planned: Outcome
    storage_nbytes: int
    misplaced: tuple[str, ...]
    unmodified: Outcome | None = None
    unmodified_storage_nbytes: int = 0

    @property
    def outputs_equal(self) -> bool | None:
        """Whether all outputs agree bit for bit. None without an unmodified build."""
        return None if self.unmodified is None else outputs_equal(self.planned.outputs, self.unmodified.outputs)

    @property
    def as_planned(self) -> bool | None:
        """Whether the arena has the plan's size and every tensor was at the plan's offset. None without a plan."""
        return None if self.planned_arena_nbytes is None else not self.misplaced

    def document(self) -> dict[str, object]:
        """The figures for JSON output."""
        return {
            "planned_arena_nbytes": self.planned_arena_nbytes,
            "arena_as_planned": self.as_planned,
            "misplaced": list(self.misplaced),
            "outputs_equal": self.outputs_equal,
            "planned": _figures(self.planned, self.storage_nbytes),
            "unmodified": None
            if self.unmodified is None
            else _figures(self.unmodified, self.unmodified_storage_nbytes),
        }

    def text(self) -> str:
        """The figures as lines."""
        lines = [self._arena()]
        if self.unmodified is not None:
            lines.append(
                f"static buffers: {self.planned.arena_nbytes + self.storage_nbytes:,} bytes with outputs, unmodified "
                f"{self.unmodified_storage_nbytes:,} and its kernels' scratch"
            )
        lines.append(self._instructions())
        if self.unmodified is not None:
            lines.append("outputs: equal bit for bit" if self.outputs_equal else "outputs: they DIFFER")
        return "\n".join(lines)

    def _arena(self) -> str:
        if self.planned_arena_nbytes is None:
            return f"no plan: {self.storage_nbytes:,} bytes of static buffers"
        found = f"arena: {self.planned.arena_nbytes:,} bytes at run time, planned {self.planned_arena_nbytes:,}"
        if self.misplaced:
            return "\n".join([f"{found}; NOT as planned:", *self.misplaced])
        return f"{found}; every buffer of {len(self.planned.counts)} calls at the plan's offset"

    def _instructions(self) -> str:
        if not self.planned.instructions:
            return "instructions: not counted on this machine"
        found = f"instructions (not time): {self.planned.instructions:,}"
        return found if self.unmodified is None else f"{found}, unmodified {self.unmodified.instructions:,}"


def compare_programs(
    path: str,
    mod: tvm.IRModule | None,
    target: tvm.target.Target,
    inputs: Sequence[np.ndarray],
    device: Device | None = None,
    cc: str | None = None,
) -> ProgramComparison:
    """Run the program at ``path`` once, and the unmodified build of ``mod`` if given, as a program for ``target``.

    ``device``: where to run them; None: here, under QEMU if they are for another machine.
    """
    document = read_document(path)
    planned = _run(path, inputs, device)
    arena = document["arena_nbytes"] if "plan" in document else None
    places = tuple(misplaced(document, planned)) if arena is not None else ()
    storage = sum(document["storage_nbytes"])
    if mod is None:
        return ProgramComparison(arena, planned, storage, places)
    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        other = str(Path(folder, "unmodified.elf"))
        program = export_program(unmodified_storage(mod, target), target, other, cc=cc)
        unmodified = _run(other, inputs, device)
    return ProgramComparison(arena, planned, storage, places, unmodified, sum(program.storages))


def _run(path: str, inputs: Sequence[np.ndarray], device: Device | None) -> Outcome:
    if device is None:
        return run_exported(path, list(inputs))
    from tvm_memopt.cost_model.measure.instructions import run_on

    device.count()
    return run_on(device, path, request(inputs, values(read_document(path)["inputs"])))


def _figures(run: Outcome, storage_nbytes: int) -> dict[str, Any]:
    return {
        "arena_nbytes": run.arena_nbytes,
        "touched_nbytes": run.touched_nbytes,
        "storage_nbytes": storage_nbytes,
        "instructions": run.instructions,
        "packets": sum(one.packets for one in run.counts),
        "vector_packets": sum(one.vector_packets for one in run.counts),
        "call_instructions": [one.instructions for one in run.counts],
    }
