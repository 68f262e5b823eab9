"""Bytes that are dead after each kernel call, according to a plan or to a trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.trace import Block, Buffer, Recorder

DeadAfter: TypeAlias = Sequence[tuple[int, int, int]]
"""(kernel call, offset, nbytes): arena bytes that are dead after that kernel call."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Bytes to overwrite, relative to a buffer of the trace, or to the arena if ``buffer`` is None."""

    buffer: int | None
    offset: int
    nbytes: int


Spots: TypeAlias = Mapping[int, Sequence[Spot]]
"""The spots that become dead after each kernel call."""


def planned_spots(dead_after: DeadAfter, arena: Block | None, kernel_count: int) -> Spots:
    """Convert given events to spots. Raises MemoptError for one outside the run or the arena."""
    if arena is None:
        raise MemoptError("no arena was found: the call allocates nothing that it does not return")
    spots = defaultdict(list)
    for kernel, offset, nbytes in dead_after:
        if not arena.made_before <= kernel < kernel_count:
            span = f"{arena.made_before} to {kernel_count - 1}"
            raise MemoptError(f"dead after kernel call {kernel}: expected {span}, the calls while the arena exists")
        if offset < 0 or nbytes < 0 or offset + nbytes > arena.nbytes:
            where = f"bytes {offset} to {offset + nbytes}"
            raise MemoptError(f"dead after kernel call {kernel}: {where} are outside the arena's {arena.nbytes} bytes")
        spots[kernel].append(Spot(None, offset, nbytes))
    return spots


def traced_spots(trace: Recorder) -> Spots:
    """Each buffer is dead after the last call that used it, except for bytes that another live buffer uses by then."""
    spots = defaultdict(list)
    for number, buffer in enumerate(trace.buffers):
        if buffer.last is None or buffer.last == len(trace.kernels):
            continue
        for low, high in _without_live_bytes(buffer, buffer.last, trace.buffers):
            spots[buffer.last].append(Spot(number, low - buffer.address, high - low))
    return spots


def _without_live_bytes(dying: Buffer, now: int, buffers: Sequence[Buffer]) -> list[tuple[int, int]]:
    ranges = [(dying.address, dying.end)]
    for other in buffers:
        if other.first is None or other.last is None or not other.first <= now < other.last:
            continue
        pieces = [[(low, min(high, other.address)), (max(low, other.end), high)] for low, high in ranges]
        ranges = [(low, high) for pair in pieces for low, high in pair if low < high]
    return ranges
