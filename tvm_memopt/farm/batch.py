"""Run a table of models, devices and budgets; what an earlier run has finished is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.farm.cluster import cluster, run_jobs
from tvm_memopt.farm.job import Job
from tvm_memopt.farm.matrix import Cell
from tvm_memopt.farm.page import write_index
from tvm_memopt.farm.rows import Row, as_csv, row_of, store, stored

Watch = Callable[[int, Row], None]


@dataclass(frozen=True)
class Batch:
    """``rows``: of the cells in their order, without those that have no result. ``known``: taken from earlier runs."""

    rows: tuple[Row, ...]
    cells: int
    known: int
    interrupted: bool

    @property
    def missing(self) -> int:
        """Number of cells without a result."""
        return self.cells - len(self.rows)


def run_batch(
    cells: Sequence[Cell],
    folder: Path,
    *,
    scheduler: str | None = None,
    workers: int = 2,
    retry: bool = False,
    watch: Watch | None = None,
) -> Batch:
    """Run the cells that have no row in ``folder`` yet, and write each row when its job ends.

    ``scheduler``: address of a Dask scheduler, whose workers see the model files under the same paths; None for
    ``workers`` processes on this machine. ``retry``: run failed jobs again. ``watch``: called with the number of rows
    and the new one. Ctrl-C keeps the rows so far.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = {cell.key: row for cell in cells if (row := stored(folder, cell.key)) and not (retry and _failed(row))}
    known, todo = len(rows), {cell.key: cell for cell in cells if cell.key not in rows}
    interrupted = False
    try:
        if todo:
            _run(todo, folder, rows, scheduler, workers, watch)
    except KeyboardInterrupt:
        interrupted = True
    return Batch(tuple(rows[c.key] for c in cells if c.key in rows), len(cells), known, interrupted)


def _run(
    todo: dict[str, Cell], folder: Path, rows: dict[str, Row], scheduler: str | None, workers: int, watch: Watch | None
) -> None:
    log = str((folder / "started.log").resolve()) if scheduler is None else None
    jobs = [Job(key, cell.arguments(), log=log) for key, cell in todo.items()]
    with cluster(scheduler, workers) as client, closing(run_jobs(client, jobs)) as results:
        for result in results:
            row = row_of(todo[result.key], result)
            store(folder, row, result.files)
            rows[row.key] = row
            if watch is not None:
                watch(len(rows), row)


def _failed(row: Row) -> bool:
    return row.fits is None


def write_tables(folder: Path, title: str, batch: Batch) -> None:
    """Write table.csv, table.json and index.html."""
    document = {"rows": [asdict(row) for row in batch.rows], "missing": batch.missing}
    write_text_atomic(folder / "table.csv", as_csv(batch.rows))
    write_text_atomic(folder / "table.json", json.dumps(document, indent=1))
    write_index(folder / "index.html", title, batch.rows, batch.missing)
