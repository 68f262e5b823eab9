"""MiniMalloc's buffer files: reads ``id,lower,upper,size`` and writes the same with an ``offset`` column."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.errors import GraphError
from tvm_memopt.graph import Lifetimes
from tvm_memopt.solvers.layout.exact import MOST_NBYTES, make_lifetimes

REQUIRED = ("id", "lower", "upper", "size")
_MOST_TIME = 2**62


@dataclass(frozen=True)
class BufferTable:
    """The file as read, with columns and rows in their order, and the lifetimes that it describes."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lives: Lifetimes


def read_buffers(path: str | os.PathLike[str]) -> BufferTable:
    """Read buffers that are live in the half-open range [lower, upper). Other columns are kept but ignored.

    Raises GraphError with file and line for a missing column, a bad number, an empty lifetime, a negative or very
    large size, or a duplicate id.
    """
    lines = list(csv.reader(io.StringIO(_text(path)), skipinitialspace=True))
    header = tuple(name.strip() for name in lines[0]) if lines else ()
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise GraphError(f"{path}: line 1: no column {missing[0]!r}, expected at least {','.join(REQUIRED)}")
    kept = [(number, line) for number, line in enumerate(lines[1:], 2) if line]
    spans = [_span(path, number, header, line) for number, line in kept]
    _check_ids(path, header, kept)
    if sum(size for _, _, size in spans) >= MOST_NBYTES:
        raise GraphError(f"{path}: the buffers have {sum(s for _, _, s in spans)} bytes in all, expected < 2^61")
    lives = make_lifetimes([s[0] for s in spans], [s[1] - 1 for s in spans], [s[2] for s in spans])
    return BufferTable(header, tuple(tuple(line) for _, line in kept), lives)


def placed_csv(table: BufferTable, offsets: Sequence[int]) -> str:
    """The text of the file with the column ``offset``, replaced if present, otherwise appended."""
    columns = [*table.columns] if "offset" in table.columns else [*table.columns, "offset"]
    place = columns.index("offset")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row, offset in zip(table.rows, offsets, strict=True):
        cells = [*row]
        cells[place : place + 1] = [str(offset)]
        writer.writerow(cells)
    return text.getvalue()


def write_placed(table: BufferTable, offsets: Sequence[int], path: str | os.PathLike[str]) -> None:
    """Write placed_csv atomically. Raises MemoptError if the file cannot be written."""
    write_text_atomic(path, placed_csv(table, offsets))


def _text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise GraphError(f"{path}: is not a text file: expected CSV in UTF-8 ({error.reason})") from error


def _span(
    path: str | os.PathLike[str], number: int, header: tuple[str, ...], line: Sequence[str]
) -> tuple[int, int, int]:
    if len(line) != len(header):
        raise GraphError(f"{path}: line {number}: has {len(line)} cells, expected {len(header)} as in line 1")
    values = []
    for name in REQUIRED[1:]:
        cell = line[header.index(name)].strip()
        try:
            values.append(int(cell))
        except ValueError:
            raise GraphError(f"{path}: line {number}: {name} is {cell!r}, expected a whole number") from None
    lower, upper, size = values
    if not -_MOST_TIME <= lower < upper <= _MOST_TIME:
        raise GraphError(f"{path}: line {number}: lives from {lower} to {upper}, expected lower < upper (below 2^62)")
    if not 0 <= size < MOST_NBYTES:
        raise GraphError(f"{path}: line {number}: size is {size}, expected 0 to 2^61 bytes")
    return lower, upper, size


def _check_ids(
    path: str | os.PathLike[str], header: tuple[str, ...], kept: Sequence[tuple[int, Sequence[str]]]
) -> None:
    seen: dict[str, int] = {}
    for number, line in kept:
        name = line[header.index("id")].strip()
        if name in seen:
            raise GraphError(f"{path}: line {number}: id {name!r} already appears in line {seen[name]}")
        seen[name] = number
