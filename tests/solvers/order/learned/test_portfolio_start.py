import pytest

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import given_order, layered_graph
from tvm_memopt.solvers import Request
from tvm_memopt.solvers.order.learned import order as module
from tvm_memopt.solvers.order.learned.checkpoint import SHIPPED
from tvm_memopt.solvers.portfolio import order_stages
from tvm_memopt.solvers.portfolio.state import Search, evaluate

GRAPH = layered_graph(1000, seed=11)


def _methods(graph=GRAPH, time_limit=600.0, **options):
    """Where the orders of the portfolio come from after the learned one had its turn."""
    search = Search(graph, Request(time_limit=time_limit, **options))
    evaluate(search, "given", given_order(graph))
    order_stages._learned_start(search)
    return [candidate.method for candidate in search.candidates]


@pytest.mark.skipif(not SHIPPED.exists(), reason="this checkout holds no trained checkpoint")
def test_large_graphs_start_from_a_learned_order_too():
    assert _methods() == ["given", "topoformer sample"]


def test_it_is_left_out_where_it_is_turned_off_the_graph_is_small_or_time_is_short(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("no learned order was wanted")

    monkeypatch.setattr("tvm_memopt.solvers.order.learned.learned_order", fail)
    assert _methods(disabled=frozenset({"topoformer"})) == ["given"]
    assert _methods(layered_graph(100, seed=1)) == ["given"]
    assert _methods(time_limit=0.1) == ["given"]


def test_a_checkpoint_that_cannot_be_read_is_no_obstacle(monkeypatch):
    def missing():
        raise MemoptError("checkpoint cannot be read")

    monkeypatch.setattr(module, "shipped_checkpoint", missing)
    assert _methods() == ["given"]
    with pytest.raises(MemoptError, match="cannot be read"):
        module.learned_order(GRAPH)
