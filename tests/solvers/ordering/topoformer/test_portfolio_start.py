import pytest

from tests.solvers.ordering.topoformer.networks import needs_library
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import layered_graph
from tvm_memopt.solvers import Request, solve
from tvm_memopt.solvers.ordering.topoformer import order as module
from tvm_memopt.solvers.ordering.topoformer.checkpoint import SHIPPED

pytestmark = needs_library
GRAPH = layered_graph(1000, seed=11)


def _methods(graph=GRAPH, **options):
    plan = solve(graph, Request(time_limit=2.0, threads=1, **options))
    return [method for method, _ in plan.solver["evaluated"]]


@pytest.mark.skipif(not SHIPPED.exists(), reason="this checkout holds no trained checkpoint")
def test_large_graphs_start_from_a_learned_order_too():
    assert "topoformer sample" in _methods()


def test_it_is_left_out_where_it_is_turned_off_or_the_graph_is_small(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("no learned order was wanted")

    monkeypatch.setattr("tvm_memopt.solvers.ordering.topoformer.learned_order", fail)
    _methods(disabled=frozenset({"topoformer"}))
    _methods(layered_graph(100, seed=1))


def test_a_checkpoint_that_cannot_be_read_is_no_obstacle(monkeypatch):
    def missing():
        raise MemoptError("checkpoint cannot be read")

    monkeypatch.setattr(module, "shipped_checkpoint", missing)
    methods = _methods()
    assert methods
    assert not [method for method in methods if method.startswith("topoformer")]
    with pytest.raises(MemoptError, match="cannot be read"):
        module.learned_order(GRAPH)
