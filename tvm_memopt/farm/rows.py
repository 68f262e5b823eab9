"""The rows of a table of jobs: what each found, on disk and as text, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tvm_memopt.atomic import atomic_path, write_text_atomic
from tvm_memopt.farm.job import JobResult
from tvm_memopt.farm.matrix import Cell

_TEXT = (
    "model", "device", "budget", "arena_nbytes", "needed_nbytes", "ram_nbytes", "fits", "extra_time", "status", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One cell's result.

    ``extra_time``: share of repeated run time. ``report``: path of the page within the folder, or None. ``error``: one
    line where the job failed or nothing fits. ``exit_status``: that of the command.
    """

    key: str
    model: str
    device: str
    budget: str
    status: str
    arena_nbytes: int | None
    needed_nbytes: int | None
    ram_nbytes: int | None
    fits: bool | None
    excess_nbytes: int | None
    lower_bound_nbytes: int | None
    extra_time: float | None
    seconds: float
    exit_status: int
    error: str
    report: str | None


def row_of(cell: Cell, result: JobResult) -> Row:
    """The row of a finished job."""
    found = result.document or {}
    device: Mapping[str, Any] = (found.get("solver") or {}).get("device") or {}
    cost, base = found.get("cost"), found.get("base_cost")
    report = f"reports/{cell.key}/report.html" if "report/report.html" in result.files else None
    return Row(
        key=cell.key,
        model=cell.model.name,
        device=cell.device.name,
        budget=cell.budget,
        status=str(found.get("status") or "failed"),
        arena_nbytes=found.get("arena_nbytes"),
        needed_nbytes=device.get("needed_nbytes"),
        ram_nbytes=device.get("ram_nbytes", cell.device.ram_nbytes),
        fits=device.get("fits"),
        excess_nbytes=device.get("excess_nbytes"),
        lower_bound_nbytes=found.get("lower_bound_nbytes"),
        extra_time=cost / base - 1 if cost is not None and base else None,
        seconds=round(result.seconds, 3),
        exit_status=result.status,
        error=result.error,
        report=report,
    )


def store(folder: Path, row: Row, files: Mapping[str, bytes]) -> None:
    """Write the files of a job, then its row, by atomic rename: a row is there only with all its files."""
    for name, content in files.items():
        place = folder / "reports" / row.key / Path(name).name
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(place) as temporary:
            temporary.write_bytes(content)
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    write_text_atomic(_row_file(folder, row.key), json.dumps(asdict(row), indent=1))


def stored(folder: Path, key: str) -> Row | None:
    """The row of an earlier run, or None if it is missing or damaged."""
    try:
        return Row(**json.loads(_row_file(folder, key).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _row_file(folder: Path, key: str) -> Path:
    return folder / "rows" / f"{key}.json"


def as_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def as_text(rows: Sequence[Row]) -> str:
    """The rows as a text table, with the errors in the last column."""
    lines = [tuple(name.removesuffix("_nbytes").replace("_", " ") for name in _TEXT)]
    lines += [tuple(cell_text(row, name) for name in _TEXT) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_TEXT))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if 3 <= column <= 7 else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def cell_text(row: Row, name: str) -> str:
    """One value of a row as text: ``-`` where it is unknown."""
    value = getattr(row, name)
    if value is None:
        return "-"
    if name == "fits":
        return "yes" if value else f"no, +{row.excess_nbytes:,}" if row.excess_nbytes else "no"
    if name == "extra_time":
        return f"{100 * value:.2f} %"
    return f"{value:,}" if isinstance(value, int) else str(value)
