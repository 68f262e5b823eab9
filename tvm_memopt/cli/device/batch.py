"""``tvm-memopt batch MODELS.toml -o DIR``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from tvm_memopt.cli.console import emit, note
from tvm_memopt.cli.files import check_output_folder
from tvm_memopt.cli.options import dask_options, json_option
from tvm_memopt.farm.batch import Watch, run_batch, write_tables
from tvm_memopt.farm.matrix import read_cells
from tvm_memopt.farm.rows import Row, as_csv, as_text


@click.command("batch")
@click.argument("table", metavar="MODELS.toml")
@click.option(
    "-o", "--output", required=True, metavar="DIR", help="Folder of the table and reports; continued if there."
)
@click.option("--retry", is_flag=True, help="Run the jobs again that failed before.")
@click.option("--csv", "as_table", is_flag=True, help="Print CSV on stdout instead of text.")
@dask_options
@json_option
def command(
    table: str, output: str, retry: bool, as_table: bool, dask: str | None, workers: int | None, as_json: bool
) -> None:
    """Plan every model of MODELS.toml for every device and budget, and write one table with a report for each.

    Jobs run on a Dask cluster: on processes of this machine, or on that of --dask. DIR gets index.html, table.csv,
    table.json and the reports. What is there already is not done again, and a job whose worker dies runs on another
    one. Ctrl-C keeps what is done; run the same command to continue.

    \b
    Examples:
      tvm-memopt batch models.toml -o plans
      tvm-memopt batch models.toml -o plans --dask tcp://farm:8786
    """
    check_output_folder(output)
    cells, folder = read_cells(Path(table)), Path(output)
    count = workers or os.cpu_count() or 1
    with _progress(len(cells)) as watch:
        batch = run_batch(cells, folder, scheduler=dask, workers=count, retry=retry, watch=watch)
    write_tables(folder, Path(table).stem, batch)
    if batch.interrupted:
        note("interrupted: all finished plans are kept; run the same command to continue")
    document = {
        "index": str(folder / "index.html"),
        "known_before": batch.known,
        "missing": batch.missing,
        "rows": [asdict(row) for row in batch.rows],
    }
    if as_table and not as_json:
        click.echo(as_csv(batch.rows), nl=False)
        return
    made = len(batch.rows) - batch.known
    emit(as_json, document, f"{as_text(batch.rows)}\n\n{folder / 'index.html'}: {made} new, {batch.known} known before")


@contextmanager
def _progress(total: int) -> Iterator[Watch | None]:
    """A line for each job on stderr; on a terminal, a bar."""
    if not sys.stderr.isatty():
        yield lambda done, row: note(f"{done} of {total}: {row.model} on {row.device}, {row.budget}: {_said(row)}")
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("planning", total=total)
        yield lambda done, row: bar.update(task, completed=done, description=f"{row.model} on {row.device}")


def _said(row: Row) -> str:
    return row.error or f"arena {row.arena_nbytes:,} bytes, {row.status}"
