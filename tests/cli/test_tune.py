import json

import pytest

pytest.importorskip("tvm", reason="the command tunes TVM's kernels")
pytest.importorskip("onnx", reason="the model is an ONNX file")

from tests.cli.running import PREFIX, assert_refused, nothing_left_behind
from tests.cli.small_models import two_branches


@pytest.fixture
def model(tmp_path):
    return two_branches(tmp_path / "model.onnx")


def test_kernels_are_tuned_and_planned_in_one_module_and_the_search_goes_on(command, model, tmp_path):
    arguments = (
        model,
        "-o",
        tmp_path / "model.so",
        "--work-dir",
        tmp_path / "work",
        "--cost-model",
        "random",
        "--json",
    )
    result = command("tune", *arguments, "--trials", 8, "--measure", "--time-limit", 2, "--timeout", 60)
    assert result.status == 0, result.err
    assert PREFIX not in result.err
    document = json.loads(result.out)
    assert document["measured"] + document["failed"] >= 8
    assert document["kernel_seconds"]
    assert document["compared"]["arena_as_planned"]
    assert document["compared"]["largest_difference"] < 1e-5
    assert document["untuned_seconds"].keys() == document["kernel_seconds"].keys()
    assert set(document["unscheduled"]) <= document["kernel_seconds"].keys()
    assert (tmp_path / "model.so").exists()

    records = tmp_path / "work" / "database_tuning_record.json"
    records.write_text(records.read_text() + '[0, [[["torn')
    again = command("tune", *arguments, "--trials", 4)
    assert again.status == 0, again.err
    assert "the last line was torn" in again.err
    found = json.loads(again.out)
    assert (found["measured"], found["known_before"]) == (0, document["measured"] + document["failed"])
    assert found["kernel_seconds"] == document["kernel_seconds"]
    assert found["untuned_seconds"] == document["untuned_seconds"]


def test_bad_input_is_refused_before_any_work(command, model, tmp_path):
    out, work = tmp_path / "model.so", tmp_path / "work"
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    with nothing_left_behind(tmp_path):
        assert_refused(command("tune", model, "-o", tmp_path / "m.bin", "--work-dir", work), "ends in .so")
        assert_refused(command("tune", model, "-o", out, "--work-dir", model), "is a file")
        assert_refused(command("tune", tmp_path / "none.onnx", "-o", out, "--work-dir", work), "none.onnx")
        mixed = ("--cost-model", "xgb", "--checkpoint", "x.npz")
        assert_refused(command("tune", model, "-o", out, "--work-dir", work, *mixed), "--checkpoint is for")
        pytest.importorskip("torch", reason="checkpoints are read for a network")
        damaged = ("--checkpoint", tmp_path / "damaged.npz")
        assert_refused(command("tune", model, "-o", out, "--work-dir", work, *damaged), "damaged.npz", "damaged")


def test_a_work_folder_of_another_target_is_refused(command, model, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "tuning.json").write_text('{"target": "another"}')
    result = command("tune", model, "-o", tmp_path / "m.so", "--work-dir", work, "--cost-model", "random")
    assert result.status == 2
    assert "was tuned for target another" in result.err.splitlines()[-1]


def test_nothing_measured_is_an_error_with_the_first_cause(command, model, tmp_path):
    result = command(
        "tune", model, "-o", tmp_path / "m.so", "--work-dir", tmp_path / "work", "--cost-model", "random",
        "--trials", 2, "--timeout", 0.001,
    )  # fmt: skip
    assert result.status == 2
    assert "first failure: timed out after 0.001 s" in result.err.splitlines()[-1]
    assert not (tmp_path / "m.so").exists()
