"""The benchmark of ONNX models quantised by onnxruntime, on a small network."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from benchmarks import onnx_quantised
from benchmarks.zoo.model import ZooError


def test_agreement_counts_equal_elements_steps_and_maxima():
    ours = [[np.array([0.0, 1.0, 0.5])], [np.array([0.0, 1.0, 0.5])]]
    theirs = [[np.array([0.0, 1.0, 0.5])], [np.array([1.5, 1.0, 0.5])]]
    assert onnx_quantised.agreement(ours, theirs, [0.5]) == {"equal": 5 / 6, "step": 3, "top1": 0.5}
    assert onnx_quantised.agreement(ours, theirs, [None]) == {"equal": 5 / 6, "step": None, "top1": 0.5}


@pytest.mark.parametrize("kind", onnx_quantised.FORMATS)
def test_a_copy_is_quantised_and_planned(tmp_path: Path, monkeypatch, kind: str):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from benchmarks import zoo

    path = small_network(onnx, tmp_path)
    feed = {"x": np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype("float32")}
    item = zoo.Input("x", (1, 3, 8, 8))
    monkeypatch.setitem(zoo.MODELS, "small", zoo.ZooModel("small", "", "", "", (item,), source=lambda: path))
    assert onnx_quantised.output_steps(onnx_quantised.quantize(path, tmp_path, kind, [feed]))[0] > 0
    row = onnx_quantised.measure("small", kind, argparse.Namespace(time_limit=2.0, integer=False, samples=2))
    assert row["equals_tvm"]
    assert row["violations"] == 0
    assert row["arena_nbytes"] < row["float_arena_nbytes"]
    assert "small | " in onnx_quantised.render({f"small {kind}": row})


def small_network(onnx, folder: Path) -> Path:
    helper, rng = onnx.helper, np.random.default_rng(1)
    weights = [rng.standard_normal(shape).astype("float32") for shape in ((8, 3, 3, 3), (4, 8, 3, 3))]
    constants = [onnx.numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(weights)]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["y"], pads=[1] * 4),
    ]
    ends = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", [1, 3, 8, 8]), ("y", [1, 4, 8, 8]))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "net.onnx"
    onnx.save(model, str(path))
    return path


def test_a_wrong_name_or_number_is_refused():
    with pytest.raises(ZooError, match="no model is named 'resnet'"):
        onnx_quantised.main(["resnet"])
    with pytest.raises(ZooError, match="at least 1"):
        onnx_quantised.main(["--samples", "0"])
