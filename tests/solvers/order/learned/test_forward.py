import numpy as np
import pytest

from tests.solvers.order.learned.networks import SMALL, prepared, random_weights
from tvm_memopt.graph import layered_graph, random_graph
from tvm_memopt.solvers.order.learned.config import ModelConfig, weight_shapes
from tvm_memopt.solvers.order.learned.forward import network

VARIANTS = (
    SMALL,
    ModelConfig(16, 1, 1, 8, transforms=False),
    ModelConfig(16, 1, 2, 4, encoding=False),
    ModelConfig(16, 1, 2, 4, state=False),
)


@pytest.mark.parametrize("config", VARIANTS)
def test_numpy_and_torch_give_the_same_scores(config):
    torch = pytest.importorskip("torch", reason="torch is needed to compare with it")
    from tvm_memopt.solvers.order.learned.model import GraphTensors, Topoformer

    weights = random_weights(config)
    model = Topoformer(config)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == weight_shapes(config)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    for graph in (layered_graph(60, seed=1), random_graph(25, seed=2), layered_graph(2, seed=0)):
        ready = prepared(graph)
        plain = network(config, weights, ready.features, ready.around)
        learned = model(GraphTensors(ready.features, ready.around, config.transforms)).detach().numpy()
        np.testing.assert_allclose(plain, learned, rtol=1e-3, atol=1e-4)
        assert plain.shape == (len(graph.ops), config.outputs)


def test_an_op_without_neighbours_gets_zeros_not_noise():
    ready = prepared(layered_graph(1, seed=0))
    assert np.isfinite(network(SMALL, random_weights(SMALL), ready.features, ready.around)).all()


def test_scores_see_pairs_that_no_edge_joins():
    graph = layered_graph(40, seed=3)
    ready, weights = prepared(graph), random_weights(SMALL)
    changed = ready.features.copy()
    changed[5] += 1.0
    before = network(SMALL, weights, ready.features, ready.around)
    after = network(SMALL, weights, changed, ready.around)
    assert (np.abs(before - after).max(axis=1) > 0).all()
