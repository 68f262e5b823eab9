import numpy as np
from hypothesis import given

from tests.solvers.order.learned.networks import prepared
from tests.solvers.order.native_tools import assert_valid, rich_graphs
from tvm_memopt.graph import Graph, layered_graph
from tvm_memopt.solvers.order.learned.features import FEATURES
from tvm_memopt.solvers.order.learned.post_order import post_order


@given(rich_graphs(9))
def test_features_are_finite_numbers_one_row_an_op(graph):
    features = prepared(graph).features
    assert features.shape == (len(graph.ops), len(FEATURES))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_features_do_not_change_with_the_unit_of_bytes():
    graph = layered_graph(60, seed=5)
    from dataclasses import replace

    larger = replace(graph, tensors=tuple(replace(t, nbytes=1024 * t.nbytes) for t in graph.tensors))
    np.testing.assert_allclose(prepared(graph).features, prepared(larger).features, rtol=1e-4, atol=1e-5)


def test_incomparable_ancestors_and_descendants_make_up_the_graph():
    features = prepared(layered_graph(50, seed=1)).features
    shares = [features[:, FEATURES.index(name)] for name in ("ancestors", "descendants", "incomparable")]
    np.testing.assert_allclose(sum(shares), 1 - 1 / 50, atol=1e-5)


@given(rich_graphs(9))
def test_post_orders_are_valid(graph: Graph):
    for last_first in (False, True):
        assert_valid(graph, post_order(graph, last_first=last_first))
