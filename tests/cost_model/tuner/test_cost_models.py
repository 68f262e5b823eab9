import numpy as np
import pytest

pytest.importorskip("torch", reason="the network needs torch")
pytest.importorskip("tvm", reason="cost models are TVM's")

import torch

import tvm_memopt as mo
from tests.cost_model.programs_by_hand import matmul, pipeline, scheduled_matmul
from tests.passes.relax.networks import small_network
from tvm_memopt.cost_model.data.samples import compressed
from tvm_memopt.cost_model.features.extract import extract
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.network.checkpoint import PRETRAINED, save_checkpoint
from tvm_memopt.cost_model.network.gcn import Architecture, GraphNetwork
from tvm_memopt.cost_model.network.kernel_costs import predicted_costs
from tvm_memopt.cost_model.network.normalization import fit_normalization
from tvm_memopt.cost_model.network.predictor import Trained
from tvm_memopt.cost_model.tuner import cost_models as tuner_models
from tvm_memopt.cost_model.tuner.cost_models import make_cost_model
from tvm_memopt.errors import MemoptError


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    graphs = compressed(extract([matmul(), scheduled_matmul(), pipeline()]))
    trained = Trained(GraphNetwork(Architecture(8, 4, 1)), fit_normalization(graphs), str(host_target(4)), {})
    save_checkpoint(tmp_path / "model.npz", trained.checkpoint())
    return tmp_path / "model.npz"


@pytest.mark.parametrize("name", tuner_models.NAMES)
def test_each_name_makes_a_model_that_scores(name):
    if name == "xgb":
        pytest.importorskip("xgboost", reason="TVM's trees are xgboost's")
    model, start = make_cost_model(name, str(host_target(4)))
    assert "scratch" in start or "bundled" in start
    assert hasattr(model, "predict")


def test_a_checkpoint_is_started_from_and_one_for_another_target_is_refused(checkpoint):
    model, start = make_cost_model("gcn", str(host_target(1)), checkpoint=checkpoint)
    assert (start, model.learner.pretrained) == (str(checkpoint), True)
    with pytest.raises(MemoptError, match="was trained for target"):
        make_cost_model("gcn", '{"kind":"llvm","mcpu":"znver4"}', checkpoint=checkpoint)


def test_a_package_without_a_checkpoint_for_the_target_starts_cold():
    model, start = make_cost_model("gcn", '{"kind":"llvm","mcpu":"znver4"}')
    assert not model.learner.pretrained
    assert "scratch" in start


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(MemoptError, match="expected one of gcn, xgb, mlp, random"):
        make_cost_model("oracle", "{}")


def test_the_planner_takes_predicted_seconds(checkpoint):
    def costs(kernels, target):
        return predicted_costs(kernels, target, checkpoint)

    _, plan = mo.optimize(small_network(), host_target(4), time_limit=1.0, kernel_costs=costs)
    assert plan.arena_nbytes > 0
    kernels = {"product": matmul()["main"], "stencil": pipeline()["main"]}
    found = costs(kernels, host_target(4))
    assert found.keys() == kernels.keys()
    assert np.all([second > 0 for second in found.values()])


def test_a_checkpoint_that_is_missing_is_said_so(tmp_path):
    with pytest.raises(MemoptError, match="cannot be read"):
        predicted_costs({}, host_target(4), tmp_path / "none.npz")


def test_the_checkpoint_of_the_package_fits_its_features_and_target():
    model, start = make_cost_model("gcn", str(host_target(1)))
    if not str(host_target(1)).count("x86-64-v3"):
        pytest.skip("the bundled checkpoint is for x86-64")
    assert start == "the bundled checkpoint"
    seconds, _ = model.learner.trained.predict(compressed(extract([matmul(64, 64, 64), matmul(256, 256, 256)])))
    assert 0 < seconds[0] < seconds[1] < 10
    card = PRETRAINED.with_name("CARD.md").read_text(encoding="utf-8")
    assert "| test | " in card
