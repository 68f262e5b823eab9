"""The poison test: overwrite each buffer as soon as it is declared dead, and check that no output changes."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.array_file import load_arrays, save_arrays
from tvm_memopt.runtime.child import run_in_child
from tvm_memopt.runtime.dead_bytes import DeadAfter, Spots, planned_spots, traced_spots
from tvm_memopt.runtime.execute import call, differing_outputs, leaves, to_arrays, to_tensors
from tvm_memopt.runtime.loading import CompiledModule, entry, load_machine, module_file
from tvm_memopt.runtime.trace import Block, Conflict, Recorder, find_conflicts, is_tensor

if TYPE_CHECKING:
    from tvm.runtime.vm import VirtualMachine

POISON = 0xFF  # NaN as a float of any width, -1 as an integer


@dataclass(frozen=True, slots=True)
class PoisonResult:
    """The result of a poisoned run.

    ``differing``: positions of outputs that changed. ``conflicts``: live bytes that a kernel overwrote, determined
    from real addresses only. ``arena_nbytes``: size of the arena (0: none was found).
    """

    differing: tuple[int, ...]
    conflicts: tuple[Conflict, ...]
    kernels: tuple[str, ...]
    arena_nbytes: int
    poisoned_nbytes: int

    @property
    def clean(self) -> bool:
        """Whether no output changed and no live byte was overwritten."""
        return not self.differing and not self.conflicts


class _Result(TypedDict):
    """A PoisonResult as written by the child process."""

    differing: list[int]
    conflicts: list[dict[str, int]]
    kernels: list[str]
    arena_nbytes: int
    poisoned_nbytes: int


@dataclass(frozen=True)
class _Job:
    module: CompiledModule
    inputs: Sequence[np.ndarray]
    dead_after: DeadAfter | None
    function: str
    expected: Sequence[np.ndarray] | None
    arena_input: int | None


def poison_run(
    module: CompiledModule,
    inputs: Sequence[np.ndarray],
    dead_after: DeadAfter | None = None,
    *,
    function: str = "main",
    expected: Sequence[np.ndarray] | None = None,
    arena_input: int | None = None,
    isolate: bool = False,
) -> PoisonResult:
    """Run a bytecode module twice, the second time with each dead buffer overwritten, and compare bit for bit.

    ``dead_after``: (kernel call, offset, nbytes) entries, the arena bytes that are dead after each call. Without it,
    the last uses come from the trace of the clean run. The arena is the largest storage of the call that is not
    returned, or input ``arena_input`` if the caller owns it. It is also poisoned before the first kernel.
    ``expected``: outputs to compare with instead of those of the clean run. ``isolate``: run in a separate process, in
    which a crash becomes a MemoptError, since poisoned indices can make the kernels of a wrong plan access any address.

    Kernel calls are calls to anything but Relax functions and TVM runtime functions (``vm.builtin.*``, ``runtime.*``),
    counted from 0 in order of execution.
    """
    if arena_input is not None and not 0 <= arena_input < len(inputs):
        raise MemoptError(f"the arena cannot be input {arena_input}: there are {len(inputs)} inputs, counted from 0")
    job = _Job(module, inputs, dead_after, function, expected, arena_input)
    return _isolated(job) if isolate else _poison(job)


def _poison(job: _Job) -> PoisonResult:
    machine = load_machine(job.module, "naive")
    trace = Recorder()
    outputs, arena = _run(machine, job, trace)
    if not trace.kernels:
        raise MemoptError('no kernel call was seen: a poison run needs a module of exec_mode="bytecode"')
    block = trace.blocks[arena] if arena is not None else None
    spots = traced_spots(trace) if job.dead_after is None else planned_spots(job.dead_after, block, len(trace.kernels))
    poisoned, nbytes = _poisoned_outputs(machine, job, spots, arena)
    return PoisonResult(
        differing=differing_outputs(outputs if job.expected is None else job.expected, poisoned),
        conflicts=find_conflicts(trace.buffers),
        kernels=tuple(trace.kernels),
        arena_nbytes=block.nbytes if block else 0,
        poisoned_nbytes=nbytes,
    )


def _run(machine: VirtualMachine, job: _Job, recorder: Recorder) -> tuple[tuple[np.ndarray, ...], int | None]:
    """The outputs, and the index of the block that is the arena."""
    tensors = to_tensors(job.inputs)
    if job.arena_input is not None:
        recorder.adopt(tensors[job.arena_input])
    compiled = entry(machine, job.function)
    machine.set_instrument(recorder)
    try:
        value = call(compiled, tensors, job.function)
    finally:
        machine.set_instrument(lambda *_: 0)
    recorder.keep_returned(value)
    returned = [leaf.data_ptr() for leaf in leaves(value) if is_tensor(leaf)]
    return to_arrays(value), _arena(recorder.blocks, returned) if job.arena_input is None else 0


def _arena(blocks: Sequence[Block], returned: Sequence[int]) -> int | None:
    inner = [i for i, block in enumerate(blocks) if block.address is not None and not _holds(block, returned)]
    return max(inner, key=lambda i: blocks[i].nbytes, default=None)


def _holds(block: Block, addresses: Sequence[int]) -> bool:
    return block.address is not None and any(0 <= a - block.address < max(block.nbytes, 1) for a in addresses)


def _poisoned_outputs(
    machine: VirtualMachine, job: _Job, spots: Spots, arena: int | None
) -> tuple[tuple[np.ndarray, ...], int]:
    """The outputs of a poisoned run, and the number of bytes overwritten after kernels."""
    recorder, written = Recorder(), 0

    def after_kernel(number: int) -> None:
        nonlocal written
        for spot in spots.get(number, ()):
            base = recorder.blocks[arena or 0] if spot.buffer is None else recorder.buffers[spot.buffer]
            if base.address is not None:
                ctypes.memset(base.address + spot.offset, POISON, spot.nbytes)
                written += spot.nbytes

    def on_block(number: int) -> None:
        block = recorder.blocks[number]
        if number == arena and block.address is not None:
            ctypes.memset(block.address, POISON, block.nbytes)

    recorder.after_kernel, recorder.on_block = after_kernel, on_block
    outputs, _ = _run(machine, job, recorder)
    return outputs, written


def _isolated(job: _Job) -> PoisonResult:
    with module_file(job.module) as path, TemporaryDirectory(prefix="tvm-memopt-") as name:
        folder = Path(name)
        save_arrays(folder / "inputs.npz", job.inputs)
        if job.expected is not None:
            save_arrays(folder / "expected.npz", job.expected)
        events = None if job.dead_after is None else [list(event) for event in job.dead_after]
        request = {"dead_after": events, "function": job.function, "arena_input": job.arena_input}
        raw: _Result = run_in_child("poison", folder, {"module": str(path), **request}, os.environ)
    conflicts = tuple(Conflict(**conflict) for conflict in raw["conflicts"])
    return PoisonResult(
        tuple(raw["differing"]), conflicts, tuple(raw["kernels"]), raw["arena_nbytes"], raw["poisoned_nbytes"]
    )


def work(
    folder: Path, module: str, dead_after: list[tuple[int, int, int]] | None, function: str, arena_input: int | None
) -> dict[str, object]:
    """The child's part of an isolated run. The result is passed as JSON."""
    job = _Job(module, load_arrays(folder / "inputs.npz"), dead_after, function, None, arena_input)
    if (folder / "expected.npz").exists():
        job = replace(job, expected=load_arrays(folder / "expected.npz"))
    return asdict(_poison(job))
