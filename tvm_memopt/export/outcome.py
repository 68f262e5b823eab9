"""What a program is asked, and what it answers: the other end of runtime/harness.c."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.export.document import values
from tvm_memopt.export.program import Value

_REQUEST, _REPORT, _COUNTS = struct.Struct("<II"), struct.Struct("<IIIIQQQQQ"), struct.Struct("<QQQ")
_MAGIC_IN, _MAGIC_OUT = 0x314D4D49, 0x314D4D4F
OUTSIDE = -1
"""In Outcome.places: a tensor outside the arena. Below it: an argument that is not a tensor."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one call executed: instructions, packets of them, and packets with vector instructions.

    All are 0 on platforms without counters.
    """

    instructions: int
    packets: int
    vector_packets: int


@dataclass(frozen=True)
class Outcome:
    """One run of a program.

    ``counts``: of each call. ``places``: the arena offset of each argument of each call, from its address at run time.
    ``arena_nbytes``: of the arena in memory. ``touched_nbytes``: the end of what differs from the fill after the run.
    ``overrun_nbytes``: bytes after the arena that were written.
    """

    outputs: tuple[np.ndarray, ...]
    counts: tuple[Counts, ...]
    places: tuple[tuple[int, ...], ...]
    arena_nbytes: int
    touched_nbytes: int
    overrun_nbytes: int

    @property
    def instructions(self) -> int:
        """Instructions of all calls."""
        return sum(one.instructions for one in self.counts)


def request(inputs: Sequence[np.ndarray], expected: Sequence[Value], fill: int = 0xA5) -> bytes:
    """What a program reads. ``fill``: the byte that the arena holds before the run. Raises MemoptError."""
    if len(inputs) != len(expected):
        raise MemoptError(f"the program has {len(expected)} inputs, and {len(inputs)} were given")
    content = [_REQUEST.pack(_MAGIC_IN, fill)]
    for array, value in zip(inputs, expected, strict=True):
        if tuple(array.shape) != value.shape or str(array.dtype) != value.dtype:
            found = f"{array.dtype} {tuple(array.shape)}"
            raise MemoptError(f"input {value.name} is {found}, expected {value.dtype} {value.shape}")
        content.append(np.ascontiguousarray(array).tobytes())
    return b"".join(content)


def outcome(answer: bytes, document: Mapping[str, Any]) -> Outcome:
    """Read what a program wrote. ``document``: the one in its file. Raises MemoptError if a call failed."""
    if len(answer) < _REPORT.size:
        raise MemoptError("the program ended before it wrote its report")
    magic, failed, calls, _, _, arena, touched, overrun, arguments = _REPORT.unpack_from(answer)
    described = document["calls"]
    if magic != _MAGIC_OUT or calls != len(described):
        raise MemoptError("the program's report is not one of this version: make the program again")
    if failed:
        raise MemoptError(f"call {failed} of {calls}, of kernel {described[failed - 1]['kernel']}, failed")
    at = _REPORT.size
    counts = tuple(Counts(*_COUNTS.unpack_from(answer, at + i * _COUNTS.size)) for i in range(calls))
    at += calls * _COUNTS.size
    places = struct.unpack_from(f"<{arguments}q", answer, at)
    outputs = _outputs(answer[at + 8 * arguments :], values(document["outputs"]))
    sizes = [len(call["nbytes"]) for call in described]
    ends = np.cumsum([0, *sizes])
    by_call = tuple(places[a:b] for a, b in itertools.pairwise(ends))
    return Outcome(outputs, counts, by_call, arena, touched, overrun)


def _outputs(content: bytes, described: Sequence[Value]) -> tuple[np.ndarray, ...]:
    if len(content) != sum(value.nbytes for value in described):
        raise MemoptError("the program's outputs are incomplete")
    found, at = [], 0
    for value in described:
        data = content[at : at + value.nbytes]
        found.append(np.frombuffer(data, np.dtype(value.dtype)).reshape(value.shape).copy())
        at += value.nbytes
    return tuple(found)
