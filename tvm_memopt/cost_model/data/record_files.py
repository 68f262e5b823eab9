"""Repair of TVM's database files before opening: TVM rejects a whole file with one truncated line."""

from __future__ import annotations

import json
from pathlib import Path

from tvm_memopt.atomic import atomic_path

NO_TIME = 1e9
"""Times of at least this many seconds mark failures: TVM records candidates without a time as 1e10."""
WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"


def mend(path: Path) -> str | None:
    """Drop a truncated last line, as after a power failure. Returns a message, or None if the file is intact."""
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
    """Repair both files of a database. Returns one message per repair."""
    return [line for name in (WORKLOADS, RECORDS) if (line := mend(folder / name)) is not None]


def _rewrite(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
