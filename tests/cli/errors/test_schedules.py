"""Bad input of --schedules is one line, and leaves nothing behind."""

import pytest

pytest.importorskip("tvm.relax", reason="the command compiles with TVM")
pytest.importorskip("onnx", reason="the model is an ONNX file")

from tests.cli.running import assert_refused, nothing_left_behind
from tests.cli.small_models import two_branches


def test_a_folder_without_measured_schedules_is_refused(command, tmp_path):
    model = two_branches(tmp_path / "model.onnx")
    work = tmp_path / "work"
    work.mkdir()
    with nothing_left_behind(tmp_path):
        for folder in (work, tmp_path / "none"):
            result = command("optimize", model, "-o", tmp_path / "m.so", "--schedules", folder)
            assert_refused(result, "holds no measured schedules", "--work-dir")


def test_damaged_settings_are_named(command, tmp_path):
    model = two_branches(tmp_path / "model.onnx")
    work = tmp_path / "work"
    work.mkdir()
    (work / "database_tuning_record.json").write_text("")
    (work / "tuning.json").write_text("{")
    with nothing_left_behind(tmp_path):
        result = command("optimize", model, "-o", tmp_path / "m.so", "--schedules", work)
        assert_refused(result, "tuning.json", "cannot be read")


def test_without_time_the_module_is_compiled_unscheduled_and_a_line_says_so(command, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = two_branches(tmp_path / "model.onnx")
    arguments = ("--schedules", "predicted", "--schedule-seconds", 0, "--time-limit", 2)
    result = command("optimize", model, "-o", tmp_path / "m.so", *arguments)
    assert result.status == 0, result.err
    assert "0 of" in result.err
    assert (tmp_path / "m.so").exists()
