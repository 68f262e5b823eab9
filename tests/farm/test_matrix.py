"""The file of a batch: what it asks for, and one line for what is wrong in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tvm_memopt.errors import MemoptError
from tvm_memopt.farm.matrix import read_cells

GRAPH = Path(__file__).parents[2] / "docs" / "five_buffers.json"
TABLE = """
devices = ["cortex-m4", "cortex-m7"]
budgets = ["device", "80%"]
time-limit = 2

[[models]]
file = "graph.json"
shapes = ["x=1,2"]

[[models]]
file = "graph.json"
name = "other"
devices = ["host"]
budgets = ["64KiB"]
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    shutil.copy(GRAPH, tmp_path / "graph.json")
    (tmp_path / "models.toml").write_text(TABLE)
    return tmp_path / "models.toml"


def test_every_model_is_planned_for_every_device_and_budget(table: Path):
    cells = read_cells(table)
    assert [(cell.model.name, cell.device.name, cell.budget) for cell in cells] == [
        ("graph", "cortex-m4", "device"),
        ("graph", "cortex-m4", "80%"),
        ("graph", "cortex-m7", "device"),
        ("graph", "cortex-m7", "80%"),
        ("other", "host", "64KiB"),
    ]
    assert len({cell.key for cell in cells}) == len(cells)


def test_a_cell_is_a_call_of_the_command(table: Path):
    first, second, *_ = read_cells(table)
    assert first.arguments()[:2] == ("plan", str(table.parent / "graph.json"))
    assert "--budget" not in first.arguments()
    assert second.arguments()[-2:] == ("--budget", "80%")
    assert ("--shape", "x=1,2") in zip(first.arguments(), first.arguments()[1:], strict=False)
    table.write_text("compile = true\n" + TABLE)
    assert read_cells(table)[0].arguments()[:4] == ("optimize", str(table.parent / "graph.json"), "-o", "module.so")


def test_the_key_changes_with_all_that_the_result_depends_on(table: Path):
    before = read_cells(table)[0].key
    assert before == read_cells(table)[0].key
    for old, new in (("time-limit = 2", "time-limit = 3"), ("x=1,2", "x=1,3"), ("time-limit = 2", "seed = 1")):
        table.write_text(TABLE.replace(old, new))
        assert read_cells(table)[0].key != before
    table.write_text(TABLE)
    (table.parent / "graph.json").write_text("{}")
    assert read_cells(table)[0].key != before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[[models]]", "[[nets]]", "key 'nets' is unknown: expected one of"),
        ('file = "graph.json"\nshapes', 'file = "none.json"\nshapes', r"key 'models\[0\].file': .*none.json: No such"),
        ('file = "graph.json"\nshapes', "shapes", r"missing key 'models\[0\].file'"),
        ('name = "other"', 'naem = "other"', r"key 'models\[1\].naem' is unknown"),
        ('"cortex-m4", "cortex-m7"', '"toaster"', "device 'toaster' is unknown"),
        ('devices = ["cortex-m4", "cortex-m7"]', "", "model 'graph' has no device"),
        ('"80%"', '"80%%"', "key 'budgets': budget '80%%': .* or 'device' for the device's memory"),
        ("time-limit = 2", "time-limit = 0", "key 'time-limit': expected a number of at least 0.001"),
        ('name = "other"\ndevices = ["host"]\nbudgets = ["64KiB"]', "", "'graph' on cortex-m4 with budget device is"),
    ],
)
def test_a_wrong_file_is_one_line(table: Path, old: str, new: str, says: str):
    assert old in TABLE
    table.write_text(TABLE.replace(old, new))
    with pytest.raises(MemoptError, match=says) as caught:
        read_cells(table)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_without_models_is_refused(table: Path):
    table.write_text('devices = ["host"]')
    with pytest.raises(MemoptError, match=r"has no model: expected tables \[\[models\]\]"):
        read_cells(table)
