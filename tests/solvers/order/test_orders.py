import pytest
from hypothesis import given, settings

from tests.solvers.strategies import chain, diamond, graphs
from tvm_memopt.graph import Graph, given_order, peak_live
from tvm_memopt.solvers.order import ORDERINGS, LiveState, dfs, greedy_delta, greedy_peak, kahn


@pytest.mark.parametrize("name", ORDERINGS)
@given(graph=graphs(max_ops=30))
@settings(max_examples=40, deadline=None)
def test_order_runs_every_op_once_after_its_predecessors(name: str, graph: Graph) -> None:
    order = ORDERINGS[name](graph)
    assert sorted(order) == list(range(len(graph.ops)))
    step = {op: index for index, op in enumerate(order)}
    assert all(step[p] < step[op] for op, before in enumerate(graph.predecessors) for p in before)


@pytest.mark.parametrize("peak_first", [True, False])
@given(graph=graphs(max_ops=20))
@settings(max_examples=60, deadline=None)
def test_lazy_heap_chooses_as_a_full_scan_of_the_ready_ops_would(peak_first: bool, graph: Graph) -> None:
    order = (greedy_peak if peak_first else greedy_delta)(graph)
    state = LiveState(graph)
    done: set[int] = set()
    for op in order:
        ready = [o for o in range(len(graph.ops)) if o not in done and done.issuperset(graph.predecessors[o])]
        key = {o: state.effect(o) if peak_first else state.effect(o)[::-1] for o in ready}
        assert op == min(ready, key=lambda o: (key[o], o))
        state.run(op)
        done.add(op)


def test_kahn_runs_both_branches_at_once_and_dfs_one_after_the_other() -> None:
    assert kahn(diamond()) == (0, 1, 2, 3, 4, 5)
    assert dfs(diamond()) == (0, 1, 3, 2, 4, 5)


def test_greedy_orders_beat_the_given_one_on_the_diamond() -> None:
    graph = diamond()
    assert peak_live(graph, given_order(graph)) == 210
    assert peak_live(graph, greedy_delta(graph)) == 120
    assert peak_live(graph, greedy_peak(graph)) == 120


def test_a_chain_has_one_order() -> None:
    assert {ordering(chain(50)) for ordering in ORDERINGS.values()} == {tuple(range(50))}
