"""A disk that is full, at whichever file it happens: one line, and nothing new stays."""

import errno
import os
from pathlib import Path

import pytest

from tests.cli.running import assert_refused, listing, nothing_left_behind


@pytest.fixture
def full_at(monkeypatch):
    """From now on the disk is full whenever a file of that name is to take its place."""

    def fill(name, call="replace"):
        real = getattr(os, call)

        def full(*arguments, **options):
            path = str(Path(f"/proc/self/fd/{arguments[0]}").readlink()) if call == "fsync" else str(arguments[-1])
            if name in path:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)

        monkeypatch.setattr(os, call, full)

    return fill


def _says(path):
    return [f"{path}: cannot be written: No space left on device; nothing was left behind"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_while_a_plan_is_written(command, made, tmp_path, full_at, call):
    full_at("new.json", call)
    with nothing_left_behind(tmp_path):
        result = command("plan", made / "graph.json", "-o", tmp_path / "new.json")
    assert_refused(result, *_says(tmp_path / "new.json"))


def test_while_a_plan_is_written_over_an_old_one(command, made, tmp_path, full_at):
    (tmp_path / "new.json").write_text("the old plan")
    full_at("new.json")
    with nothing_left_behind(tmp_path):
        assert_refused(command("plan", made / "graph.json", "-o", tmp_path / "new.json"), *_says(tmp_path / "new.json"))
    assert (tmp_path / "new.json").read_text() == "the old plan"


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_while_a_graph_is_written(command, made, tmp_path, full_at, call):
    full_at("new.json", call)
    with nothing_left_behind(tmp_path):
        result = command("graph", made / "model.onnx", "-o", tmp_path / "new.json")
    assert_refused(result, *_says(tmp_path / "new.json"))


@pytest.mark.parametrize("name", ["new.svg", "new.png", "new.csv", "new.json"])
def test_while_a_chart_is_written(command, made, tmp_path, full_at, name):
    pytest.importorskip("matplotlib", reason="charts are drawn by matplotlib")
    full_at(name)
    with nothing_left_behind(tmp_path):
        result = command("show", made / "plan.json", "--graph", made / "graph.json", "-o", tmp_path / name)
    assert_refused(result, *_says(tmp_path / name))


@pytest.mark.parametrize(
    "name", ["new.so", "new_plan.json", "chart.svg", "report/graph.json", "report/plan.json", "report.html"]
)
def test_while_any_file_of_an_optimised_model_is_written(command, made, tmp_path, full_at, name):
    pytest.importorskip("matplotlib", reason="the report draws charts with matplotlib")
    pytest.importorskip("jinja2", reason="the report is written by jinja2")
    full_at(name)
    with nothing_left_behind(tmp_path):
        result = command(
            "optimize", made / "model.onnx", "-o", tmp_path / "new.so", "--plan", tmp_path / "new_plan.json",
            "--report", tmp_path / "new" / "report",
        )  # fmt: skip
    assert_refused(result, name, *_says("")[0:1])


def test_files_that_were_there_before_stay(command, made, tmp_path, full_at):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "notes.txt").write_text("mine")
    full_at("report.html")
    before = set(listing(tmp_path))
    result = command("optimize", made / "model.onnx", "-o", tmp_path / "new.so", "--report", tmp_path / "report")
    assert_refused(result, "report.html: cannot be written")
    assert set(listing(tmp_path)) == before


def test_a_real_device_that_is_full(command, made, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a device that is always full")
    assert_refused(command("plan", made / "graph.json", "-o", "/dev/full"), *_says("/dev/full"))
