import numpy as np
import pytest

from tvm_memopt.graph import layered_graph
from tvm_memopt.solvers.order.learned.features import _levels
from tvm_memopt.solvers.order.learned.laplacian import laplacian_encoding
from tvm_memopt.solvers.order.learned.relations import relations_of


def _encoding(graph, width):
    relations = relations_of(graph, None)
    depth, _ = _levels(relations)
    return relations, depth, laplacian_encoding(relations.sources, relations.targets, depth, width)


def _laplacian(relations):
    adjacency = np.zeros((relations.ops, relations.ops))
    adjacency[relations.sources, relations.targets] = adjacency[relations.targets, relations.sources] = 1
    scale = adjacency.sum(axis=1) ** -0.5
    return np.eye(relations.ops) - scale[:, None] * adjacency * scale


def test_columns_are_the_first_eigenvectors():
    relations, _, encoding = _encoding(layered_graph(150, seed=4), 4)
    values, vectors = np.linalg.eigh(_laplacian(relations))
    assert values[5] - values[4] > 1e-3
    overlap = np.linalg.norm(vectors[:, 1:5].T @ encoding / np.sqrt(150), axis=0)
    np.testing.assert_allclose(overlap, 1, atol=1e-3)


def test_signs_follow_the_depth_and_the_result_repeats():
    _, depth, encoding = _encoding(layered_graph(80, seed=2), 6)
    assert (depth @ encoding >= -1e-3).all()
    np.testing.assert_array_equal(encoding, _encoding(layered_graph(80, seed=2), 6)[2])


@pytest.mark.parametrize("ops", [0, 1, 2, 3])
def test_tiny_and_edgeless_graphs_get_finite_columns(ops):
    nothing = np.zeros(0, np.int64)
    encoding = laplacian_encoding(nothing, nothing, np.zeros(ops), 8)
    assert encoding.shape == (ops, 8)
    assert np.isfinite(encoding).all()
