import json

import pytest

pytest.importorskip("tvm", reason="the command measures TVM's modules")

from tests.cli.running import PREFIX, Result, assert_refused
from tests.cli.small_models import two_branches
from tvm_memopt.cli.main import main


@pytest.fixture
def command(capfd):
    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["collect", *map(str, arguments)])
        found = capfd.readouterr()
        return Result(ended.value.code, found.out, found.err)

    return run


def test_random_programs_are_collected_and_counted(command, tmp_path):
    result = command(
        "--out", tmp_path / "data", "--programs", 1, "--per-program", 2, "--workers", 1, "--timeout", 60, "--json"
    )
    assert (result.status, result.err) == (0, "")
    document = json.loads(result.out)
    assert (document["measured"], document["programs"], document["failures"]) == (2, 1, {})
    assert (tmp_path / "data" / "random_0_0" / "graphs.npz").exists()


def test_nothing_to_collect_is_refused(command, tmp_path):
    assert_refused(command("--out", tmp_path / "data"), "there is nothing to collect", "--programs")
    assert not (tmp_path / "data").exists()


def test_half_an_rpc_address_is_refused(command, tmp_path):
    assert_refused(command("--out", tmp_path, "--programs", 1, "--tracker", "host:9190"), "--tracker and --key")


def test_a_file_where_the_folder_should_be_is_refused(command, tmp_path):
    (tmp_path / "data").write_text("")
    assert_refused(command("--out", tmp_path / "data", "--programs", 1), "is a file")


@pytest.mark.parametrize("target", ["llvm", "{", '{"kind": "nonsense", "num-cores": 2}'])
def test_a_target_that_cannot_be_scheduled_for_is_refused(command, tmp_path, target):
    result = command("--out", tmp_path / "data", "--programs", 1, "--target", target)
    assert_refused(result, "cannot be scheduled for", "num-cores")


def test_a_model_that_is_not_there_is_refused_before_any_work(command, tmp_path):
    assert_refused(command("--out", tmp_path / "data", "--models", tmp_path / "none.onnx"), "none.onnx")
    assert not (tmp_path / "data").exists()


def test_a_folder_that_is_no_collection_of_ours_is_refused(command, tmp_path):
    (tmp_path / "collection.json").write_text('{"format": "other/1"}')
    assert_refused(command("--out", tmp_path, "--programs", 1), "is damaged", "memopt-collection/1")


def test_the_kernels_of_a_model_are_collected(command, tmp_path):
    pytest.importorskip("onnx", reason="the model is an ONNX file")
    model = two_branches(tmp_path / "model.onnx")
    result = command("--out", tmp_path / "data", "--models", model, "--per-program", 1, "--workers", 1, "--timeout", 60)
    assert result.status == 0, result.err
    assert PREFIX not in result.err
    assert "candidates of" in result.out
    assert list((tmp_path / "data").glob("model_*/graphs.npz"))
