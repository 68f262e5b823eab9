"""Predictions with numpy are those of the network in torch."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tvm")
import tvm
from tvm import te, tirx

from tvm_memopt.cost_model.data.samples import compressed
from tvm_memopt.cost_model.features.extract import Graphs, extract, join
from tvm_memopt.cost_model.network.checkpoint import PRETRAINED, Checkpoint, load_checkpoint
from tvm_memopt.cost_model.network.inference import Predictor
from tvm_memopt.cost_model.network.predictor import from_checkpoint
from tvm_memopt.errors import MemoptError

CHECKPOINT = load_checkpoint(PRETRAINED)


def _graphs() -> Graphs:
    """A product with its rectifier, a sigmoid, and a copy, which has no edge between statements."""
    x, y = te.placeholder((32, 48), name="x"), te.placeholder((48, 16), name="y")
    k = te.reduce_axis((0, 48), name="k")
    product = te.compute((32, 16), lambda i, j: te.sum(x[i, k] * y[k, j], axis=k))
    rectified = te.compute((32, 16), lambda i, j: tirx.max(product[i, j], tirx.const(0, "float32")))
    functions = [
        te.create_prim_func([x, y, rectified]),
        te.create_prim_func([x, te.compute((32, 48), lambda i, j: tirx.sigmoid(x[i, j]))]),
        te.create_prim_func([x, te.compute((48, 32), lambda i, j: x[j, i])]),
    ]
    return compressed(extract([tvm.IRModule({"main": function}) for function in functions]))


def test_both_heads_agree_with_torch() -> None:
    graphs = _graphs()
    seconds, score = Predictor(CHECKPOINT, "here").predict(graphs)
    wanted, wanted_score = from_checkpoint(CHECKPOINT, "here").predict(graphs)
    np.testing.assert_allclose(np.log(seconds), np.log(wanted), atol=1e-4)
    np.testing.assert_allclose(score, wanted_score, atol=1e-4)


def test_a_graph_is_predicted_alike_alone_and_in_a_batch() -> None:
    graphs, predictor = _graphs(), Predictor(CHECKPOINT, "here")
    together = predictor.predict(graphs)[0]
    alone = [predictor.predict(graphs.select([number]))[0][0] for number in range(len(graphs))]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_dropout_spreads_around_the_prediction() -> None:
    graphs, predictor = _graphs(), Predictor(CHECKPOINT, "here")
    drawn = predictor.draw(join([graphs] * 64), np.random.default_rng(0))[0].reshape(64, -1)
    assert (drawn.std(axis=0) > 1e-4).all()
    np.testing.assert_allclose(drawn.mean(axis=0), np.log(predictor.predict(graphs)[0]), atol=0.3)


def test_missing_weights_are_named() -> None:
    weights = {name: values for name, values in CHECKPOINT.weights.items() if name != "read_out.loop.weight"}
    damaged = Checkpoint(CHECKPOINT.architecture, weights, CHECKPOINT.normalization, CHECKPOINT.target)
    with pytest.raises(MemoptError, match=r"gone\.npz.*read_out\.loop\.weight"):
        Predictor(damaged, "gone.npz")
