"""A batch on two local workers: complete, nothing twice, also where a worker dies or a run is interrupted."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.running import assert_refused
from tvm_memopt.errors import MemoptError
from tvm_memopt.farm.batch import Batch, run_batch, write_tables
from tvm_memopt.farm.job import Job, run_job
from tvm_memopt.farm.matrix import Cell, read_cells
from tvm_memopt.farm.rows import Row, as_csv, as_text

pytest.importorskip("distributed", reason="a farm needs Dask: pip install 'tvm-memopt[farm]'")
pytest.importorskip("matplotlib", reason="the reports draw charts with matplotlib")
pytest.importorskip("jinja2", reason="the pages are written by jinja2")
GRAPH = Path(__file__).parents[2] / "docs" / "five_buffers.json"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three graphs, of which one is damaged, for two devices."""
    for name in ("first", "second"):
        shutil.copy(GRAPH, tmp_path / f"{name}.json")
    (tmp_path / "broken.json").write_text('{"format": "memopt-graph/1", ')
    models = "".join(f'[[models]]\nfile = "{name}.json"\n' for name in ("first", "second", "broken"))
    (tmp_path / "models.toml").write_text(f'devices = ["cortex-m3", "cortex-m7"]\ntime-limit = 1\n{models}')
    return tmp_path / "models.toml"


def _started(folder: Path) -> Counter[str]:
    return Counter((folder / "started.log").read_text().splitlines())


def test_a_batch_is_complete_and_a_second_run_does_nothing(command, table, tmp_path):
    folder = tmp_path / "plans"
    result = command("batch", table, "-o", folder, "--workers", 2, "--json")
    assert result.status == 0
    rows = {(row["model"], row["device"]): row for row in json.loads(result.out)["rows"]}
    assert len(rows) == 6
    assert rows["first", "cortex-m7"]["fits"] is True
    assert rows["first", "cortex-m3"]["fits"] is False
    assert rows["first", "cortex-m3"]["exit_status"] == 3
    assert rows["broken", "cortex-m7"]["error"].startswith(f"{tmp_path / 'broken.json'}: not valid JSON")
    assert all((folder / row["report"]).is_file() for row in rows.values() if row["model"] != "broken")
    assert set(_started(folder).values()) == {1}
    again = command("batch", table, "-o", folder, "--workers", 2, "--json")
    assert json.loads(again.out)["known_before"] == 6
    assert sum(_started(folder).values()) == 6
    page = (folder / "index.html").read_text()
    assert all(f'href="{row["report"]}"' in page for row in rows.values() if row["report"])
    assert "2 fit" in page
    with (folder / "table.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == [row[0] for row in rows]


@pytest.mark.slow
def test_a_worker_that_dies_loses_nothing_and_nothing_is_done_twice(table, tmp_path, monkeypatch):
    """The job of the second row kills its worker at its first start; it runs again, and it alone."""
    cells, folder = read_cells(table)[:4], tmp_path / "plans"
    monkeypatch.setenv("TVM_MEMOPT_TEST_DIE", f"{cells[1].key}:{tmp_path / 'died'}")
    monkeypatch.setattr("tvm_memopt.farm.cluster.run_job", dying_job)
    batch = run_batch(cells, folder, workers=2)
    assert (tmp_path / "died").exists()
    assert [row.key for row in batch.rows] == [cell.key for cell in cells]
    started = _started(folder)
    assert started.pop(cells[1].key) == 1  # its worker died before the command
    assert set(started.values()) == {1}
    assert batch.rows[1].arena_nbytes == 180224


def dying_job(job: Job) -> object:
    """run_job, but the worker of one job dies, once."""
    key, _, mark = os.environ["TVM_MEMOPT_TEST_DIE"].partition(":")
    if job.key == key and not Path(mark).exists():
        Path(mark).touch()
        os._exit(1)
    return run_job(job)


@pytest.mark.slow
def test_an_interrupted_batch_keeps_its_rows_and_goes_on(table, tmp_path):
    cells, folder = read_cells(table)[1::2], tmp_path / "plans"

    def interrupt(_done: int, _row: Row) -> None:
        raise KeyboardInterrupt

    first = run_batch(cells, folder, workers=1, watch=interrupt)
    assert (first.interrupted, len(first.rows), first.missing) == (True, 1, 2)
    second = run_batch(cells, folder, workers=1)
    assert (second.interrupted, second.known, second.missing) == (False, 1, 0)


def test_failed_jobs_run_again_where_that_is_asked_for(table, tmp_path):
    cells, folder = read_cells(table)[-1:], tmp_path / "plans"
    assert run_batch(cells, folder, workers=1).rows[0].status == "failed"
    assert run_batch(cells, folder, workers=1).known == 1
    assert run_batch(cells, folder, workers=1, retry=True).known == 0
    assert _started(folder) == {cells[0].key: 2}


def test_a_scheduler_that_is_not_there_is_one_line(command, table, tmp_path, monkeypatch):
    monkeypatch.setattr("tvm_memopt.farm.cluster.CONNECT_SECONDS", 1)
    result = command("batch", table, "-o", tmp_path / "plans", "--dask", "tcp://127.0.0.1:9")
    assert_refused(result, "no Dask scheduler answers at 'tcp://127.0.0.1:9'", "`dask scheduler` starts one")


def test_a_sweep_on_the_farm_has_the_curve_of_the_plain_one(command, tmp_path):
    arguments = ("sweep", GRAPH, "--budgets", "100%,80%", "--time-limit", 2, "--json")
    plain, farmed = (json.loads(command(*arguments, *more).out) for more in ((), ("--workers", 2)))
    for key in ("budget_nbytes", "cost", "status"):
        assert [point[key] for point in farmed["points"]] == [point[key] for point in plain["points"]]


def row(cell: Cell, **changes: object) -> Row:
    """The row of a plan that fits."""
    made = Row(
        cell.key, cell.model.name, cell.device.name, cell.budget, "optimal", 1000, 2000, 65536, True, 0, 1000, 0.0,
        1.5, 0, "", f"reports/{cell.key}/report.html",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_tables_show_what_is_missing_and_what_failed(table, tmp_path):
    cells = read_cells(table)
    rows = (
        row(cells[0]),
        row(cells[1], fits=False, excess_nbytes=1234),
        row(cells[2], fits=None, arena_nbytes=None, extra_time=None, status="failed", error="<b>bad</b>", report=None),
    )
    text = as_text(rows)
    assert "no, +1,234" in text.splitlines()[2]
    assert text.splitlines()[3].endswith("<b>bad</b>")
    assert as_csv(rows).count("\n") == 4
    write_tables(tmp_path, "models", Batch(rows, 6, 0, True))
    page = (tmp_path / "index.html").read_text()
    assert "3 are still missing" in page
    assert "&lt;b&gt;bad&lt;/b&gt;" in page


def test_a_job_that_is_killed_says_by_what(monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nkill -9 $$\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    assert run_job(Job("x", ("plan",))).error == "the process was ended by SIGKILL"


def test_an_unusable_folder_is_refused_before_any_work(command, table, tmp_path):
    (tmp_path / "file").write_text("")
    assert_refused(command("batch", table, "-o", tmp_path / "file"), "file: cannot be a folder")
    with pytest.raises(MemoptError, match="cannot be read"):
        read_cells(tmp_path / "none.toml")
