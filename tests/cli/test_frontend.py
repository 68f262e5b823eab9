"""The choice between Relax and Relay, where TVM has Relax."""

import shutil

import pytest

from tests.cli.running import assert_refused, nothing_left_behind
from tvm_memopt.passes import versions


@pytest.mark.parametrize("verb", ["graph", "plan", "optimize"])
def test_relay_is_refused_where_tvm_has_none(command, made, tmp_path, verb):
    output = tmp_path / {"optimize": "module.so"}.get(verb, "file.json")
    with nothing_left_behind(tmp_path):
        result = command(verb, made / "model.onnx", "-o", output, "--frontend", "relay")
    assert_refused(result, "Relay is missing", "apache-tvm", "is installed", "expected TVM 0.19 or earlier")


def test_a_module_made_with_relay_is_recognised(command, made, tmp_path):
    module = shutil.copy(made / "module.so", tmp_path)
    (tmp_path / "module.so.json").write_text("{}")
    assert_refused(command("run", module), "Relay is missing")


def test_tuning_with_relay_names_what_to_use(command, made, tmp_path):
    words = ("tune", made / "model.onnx", "-o", tmp_path / "m.so", "--work-dir", tmp_path, "--frontend", "relay")
    assert_refused(command(*words), "auto_scheduler", "mo.relay.default_cost_model")


def test_an_executor_of_relay_is_refused_with_relax(command, made, tmp_path):
    result = command("graph", made / "model.onnx", "-o", tmp_path / "g.json", "--executor", "aot")
    assert_refused(result, "--executor cannot be used with Relax", "leave it out")


def test_a_graph_needs_no_tvm(command, made, tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "_tvm_folders", list)
    assert command("plan", made / "graph.json", "-o", tmp_path / "plan.json").status == 0
    result = command("plan", made / "model.onnx", "-o", tmp_path / "plan.json")
    assert_refused(result, "Relax is missing: no TVM is installed", "pip install 'tvm-memopt[tvm]'")


def test_two_tvms_in_one_environment_are_refused(command, made, tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "_version", lambda name: "1.0")
    result = command("graph", made / "model.onnx", "-o", tmp_path / "g.json")
    assert_refused(result, "apache-tvm 1.0 and hhb-tvm 1.0", "make a new environment")
