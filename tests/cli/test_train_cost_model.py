import json

import pytest

pytest.importorskip("torch", reason="the command trains with torch")
pytest.importorskip("tvm", reason="graphs are made of TVM's modules")

import torch

from tests.cli.running import Result, assert_refused, nothing_left_behind
from tests.cost_model.made_up_data import collection
from tvm_memopt.cli.main import main
from tvm_memopt.cost_model.network.checkpoint import load_checkpoint


@pytest.fixture
def command(capfd):
    def run(*arguments):
        capfd.readouterr()
        torch.set_num_threads(1)
        with pytest.raises(SystemExit) as ended:
            main(["train-cost-model", *map(str, arguments)])
        found = capfd.readouterr()
        return Result(ended.value.code, found.out, found.err)

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return collection(tmp_path_factory.mktemp("made_up") / "data")


def test_a_checkpoint_comes_out_with_its_scores_and_curves(command, data, tmp_path):
    output, curves = tmp_path / "model.npz", tmp_path / "curves.json"
    extras = ("--curves", curves, "--card", tmp_path / "card.md", "--json")
    result = command(data, "-o", output, "--epochs", 2, "--width", 16, "--rounds", 1, *extras)
    assert result.status == 0, result.err
    assert len(result.err.splitlines()) == 2
    card = json.loads(result.out)
    assert card["metrics"].keys() == {"valid", "test"}
    assert load_checkpoint(output).card["epochs"] == 2
    assert [entry["epoch"] for entry in json.loads(curves.read_text())] == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.md", "curves.json", "model.npz"]
    assert "| test | " in (tmp_path / "card.md").read_text()


def test_all_programs_may_be_trained_on(command, data, tmp_path):
    result = command(data, "-o", tmp_path / "model.npz", "--epochs", 1, "--width", 16, "--rounds", 1, "--test-share", 0)
    assert result.status == 0, result.err
    assert "\ntest, " not in result.out


def test_bad_input_is_one_line_and_leaves_nothing(command, data, tmp_path):
    with nothing_left_behind(tmp_path):
        assert_refused(command(tmp_path, "-o", tmp_path / "model.npz"), "is not a collection")
        assert_refused(command(data, "-o", tmp_path / "model.bin"), "ends in .npz")
        assert_refused(command(data, "-o", tmp_path / "m.npz", "--card", tmp_path / "m.npz"), "name another file")
        assert_refused(command(data, "-o", tmp_path / "none" / "model.npz"), "there is no folder")
        assert_refused(command(data, "-o", tmp_path / "model.npz", "--device", "abacus"), "cannot be used", "cpu or")


def test_an_empty_collection_is_refused(command, tmp_path):
    empty = collection(tmp_path / "data", 0)
    assert_refused(command(empty, "-o", tmp_path / "model.npz"), "holds no measured candidate")


def test_a_damaged_shard_is_refused_by_name(command, tmp_path):
    folder = collection(tmp_path / "data", 3, 2)
    (folder / "product_1" / "graphs.npz").write_bytes(b"PK")
    assert_refused(command(folder, "-o", tmp_path / "model.npz"), "product_1", "is damaged")
