import json
from pathlib import Path

import pytest

from tests.cli.running import assert_refused, nothing_left_behind
from tvm_memopt.cli.files import check_output_folder
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import layered_graph, write_graph


def test_a_training_of_no_steps_leaves_a_checkpoint(command, tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    write_graph(layered_graph(20, seed=0), tmp_path / "graph.json")
    size = ("--graphs", "0", "--graph", tmp_path / "graph.json", "--validation", "1", "--effort", "0.01")
    result = command(
        "train-order", "--out", tmp_path / "out", *size, "--imitation-steps", "0", "--steps", "0", "--json"
    )
    assert result.status == 0, result.err
    document = json.loads(result.out)
    assert document["step"] == document["all_steps"] == 0
    assert (tmp_path / "out" / "checkpoint.npz").exists()


def test_nothing_to_learn_from_is_refused(command, tmp_path):
    assert_refused(command("train-order", "--out", tmp_path / "out", "--graphs", "0"), "nothing to train on")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_refused(command, tmp_path):
    (tmp_path / "out").write_text("")
    assert_refused(command("train-order", "--out", tmp_path / "out"), "cannot be a folder")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that makes no folders")
@pytest.mark.parametrize("verb", [("train-order",), ("collect", "--programs", "1")])
def test_an_output_folder_that_the_file_system_refuses_is_told_before_the_work(command, verb):
    assert_refused(command(*verb, "--out", "/proc/none/deeper"), "/proc/none/deeper", "cannot be made")


def test_the_check_of_an_output_folder_leaves_nothing(tmp_path):
    with nothing_left_behind(tmp_path):
        check_output_folder(str(tmp_path / "a" / "b"))
    with nothing_left_behind(tmp_path), pytest.raises(MemoptError, match="cannot be made"):
        check_output_folder(str(tmp_path / "a" / ("b" * 300)))
    with nothing_left_behind(tmp_path), pytest.raises(MemoptError, match="cannot be made"):
        check_output_folder(str(tmp_path / ("b" * 300)))
    (tmp_path / "a").mkdir()
    with nothing_left_behind(tmp_path / "a"):
        check_output_folder(str(tmp_path / "a"))
    assert (tmp_path / "a").exists()


def test_a_graph_that_is_not_there_is_refused(command, tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    missing = tmp_path / "missing.json"
    assert_refused(
        command("train-order", "--out", tmp_path / "out", "--graphs", "0", "--graph", missing), "missing.json"
    )
