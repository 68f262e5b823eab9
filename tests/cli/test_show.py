import csv
import json
from xml.etree import ElementTree

import pytest

from tests.cli.running import PREFIX
from tvm_memopt.graph import read_plan


def test_a_chart_is_printed(command, made):
    result = command("show", made / "plan.json", "--graph", made / "graph.json")
    assert (result.status, result.err) == (0, "")
    assert "arena 180224 B (176 KiB)" in result.out
    assert "expand_right" in result.out
    assert "\x1b[" not in result.out  # no colour where stdout is not a terminal


def test_json_has_the_figures_of_the_plan(command, made):
    figures = json.loads(command("show", made / "plan.json", "--graph", made / "graph.json", "--json").out)
    assert figures["arena_nbytes"] == read_plan(made / "plan.json").arena_nbytes


@pytest.mark.parametrize("extension", [".svg", ".png"])
def test_a_chart_is_written(command, made, tmp_path, extension):
    pytest.importorskip("matplotlib", reason="charts are drawn by matplotlib")
    path = tmp_path / f"chart{extension}"
    result = command("show", made / "plan.json", "--graph", made / "graph.json", "-o", path)
    assert (result.status, result.out, result.err) == (0, f"{path}: written\n", "")
    if extension == ".svg":
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    else:
        assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_a_trace_and_a_table_are_written(command, made, tmp_path):
    for name in ("trace.json", "buffers.csv"):
        assert command("show", made / "plan.json", "--graph", made / "graph.json", "-o", tmp_path / name).status == 0
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    rows = list(csv.DictReader((tmp_path / "buffers.csv").read_text().splitlines()))
    assert len(rows) == len(read_plan(made / "plan.json").allocations)


def test_an_invalid_plan_is_not_drawn(command, made, edited):
    path = edited("plan.json", lambda plan: plan["schedule"].pop())
    result = command("show", path, "--graph", made / "graph.json")
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith(f"{PREFIX}{path}: not a valid plan for {made / 'graph.json'}")
    assert "[missing-op]" in result.err
