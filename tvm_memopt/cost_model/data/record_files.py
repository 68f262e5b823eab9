"""TVM's database files, mended before they are opened: one torn line makes TVM refuse the whole file."""

from __future__ import annotations

import json
from pathlib import Path

from tvm_memopt.atomic import atomic_path

NO_TIME = 1e9
"""Seconds from which on a time is none: TVM keeps candidates without one as 1e10."""
WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"


def mend(path: Path) -> str | None:
    """Drop a last line that was cut short, as by a power failure; one line that says so, or None where all is whole."""
    if not path.exists():
        return None
    content = path.read_bytes()
    if not content:
        return None
    body, _, last = content.removesuffix(b"\n").rpartition(b"\n")
    try:
        json.loads(last)
    except ValueError:
        kept = body + b"\n" if body else b""
        _rewrite(path, kept)
        lines = kept.count(b"\n")
        return f"{path}: the last line was torn ({len(last)} bytes) and is left out; {lines} lines are kept"
    if not content.endswith(b"\n"):
        _rewrite(path, content + b"\n")
    return None


def mend_database(folder: Path) -> list[str]:
    """Mend both files of a database: what was torn, one line each."""
    return [line for name in (WORKLOADS, RECORDS) if (line := mend(folder / name)) is not None]


def _rewrite(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
