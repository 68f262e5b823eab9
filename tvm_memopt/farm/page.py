"""The HTML index of a table of jobs: one row a job, with a link to its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.errors import MemoptError
from tvm_memopt.farm.rows import Row, cell_text

_COLUMNS = (
    ("arena_nbytes", "arena"), ("needed_nbytes", "RAM needed"), ("ram_nbytes", "RAM"), ("fits", "fits"),
    ("extra_time", "extra time"), ("status", "status"), ("seconds", "seconds"),
)  # fmt: skip


def write_index(path: Path, title: str, rows: Sequence[Row], missing: int) -> None:
    """Write the page. ``missing``: number of jobs without a result. Raises MemoptError if jinja2 is missing."""
    try:
        import jinja2
    except ImportError:
        raise MemoptError("the index page needs jinja2: pip install 'tvm-memopt[farm]'") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    shown = [
        {
            "model": row.model,
            "device": row.device,
            "budget": row.budget,
            "cells": [cell_text(row, name) for name, _ in _COLUMNS],
            "kind": "failed" if row.fits is None else "fits" if row.fits else "short",
            "error": row.error,
            "report": row.report,
        }
        for row in rows
    ]
    counts = {kind: sum(row["kind"] == kind for row in shown) for kind in ("fits", "short", "failed")}
    page = environment.get_template("index.html.j2").render(
        title=title, headings=[name for _, name in _COLUMNS], rows=shown, counts=counts, missing=missing
    )
    write_text_atomic(path, str(page))
