"""The benchmark of agreement with LiteRT, on a small int8 model and on made-up outputs."""

import numpy as np
import pytest

from benchmarks import fidelity
from benchmarks.zoo.model import ZooError


def outputs(ours: list[float], default: list[float], reference: list[float]) -> dict[str, np.ndarray]:
    return {"ours": np.array(ours), "default": np.array(default), "reference": np.array(reference)}


def test_differences_are_counted_in_steps_of_the_output():
    results = [outputs([0, 1, 0], [0, 1, 0], [0, 1, 0]), outputs([0, 1, 0.5], [0, 1, 0.5], [1.5, 0.5, 0.5])]
    row = fidelity.summary(results, 0.5)
    assert row["default"] == {"equal": 1.0, "step": 0, "top1": 1.0}
    assert row["reference"] == {"equal": 4 / 6, "step": 3, "top1": 0.5}
    assert row["litert"] == row["reference"]
    assert row["disagreements"] == [{"seed": 1, "ours": 1, "default": 1, "reference": 0, "margin": 2}]
    text = fidelity.render({"net": {**row, "equals_tvm": True}})
    assert "stands elsewhere: 1; of these LiteRT's default kernels side with ours on 1" in text
    assert "1.000 |    0 | 1.000 |       0.666 |" in text


def test_an_int8_model_is_measured(tmp_path):
    pytest.importorskip("ai_edge_litert")
    models = pytest.importorskip("tests.frontends.tflite_models")
    path = tmp_path / "net.tflite"
    path.write_bytes(models.int8_average_pool(models.tflite.Padding.SAME))
    row = fidelity.measure(path, 2, "uniform")
    assert row["equals_tvm"]
    assert row["default"] == row["reference"] == {"equal": 1.0, "step": 0, "top1": 1.0}


def test_integer_arithmetic_is_that_of_the_reference_kernels(tmp_path):
    pytest.importorskip("ai_edge_litert")
    models = pytest.importorskip("tests.frontends.tflite_models")
    path = tmp_path / "net.tflite"
    path.write_bytes(models.int8_conv())
    row = fidelity.measure(path, 2, "uniform", integer=True)
    assert row["equals_tvm"]
    assert row["reference"] == {"equal": 1.0, "step": 0, "top1": 1.0}


def test_a_wrong_name_or_number_is_refused():
    with pytest.raises(ZooError, match="no model is named 'resnet'"):
        fidelity.main(["resnet"])
    with pytest.raises(ZooError, match="at least 1"):
        fidelity.main(["--samples", "0"])
