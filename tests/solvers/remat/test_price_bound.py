"""The bound by a price of memory is never above the least cost, and reaches it where it should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.order.native_tools import rich_graphs
from tests.solvers.remat.dijkstra import least_cost
from tests.solvers.remat.test_search import DATA
from tvm_memopt.graph import Graph, Op, Tensor, live_profile, peak_live, read_graph
from tvm_memopt.solvers.remat.price_bound import PriceBound, bound_repeats, priced_graph
from tvm_memopt.solvers.remat.search import search_remat


def skipping(costs: tuple[float, ...], nbytes: tuple[int, ...]) -> Graph:
    """Ops 0 to n - 1 in a chain; the last reads what the first made too."""
    n = len(costs)
    tensors = tuple(Tensor(f"t{i}", nbytes[i], "activation") for i in range(n))
    ops = [Op("op0", (), (0,), costs[0])]
    ops += [Op(f"op{i}", (i - 1,) if i < n - 1 else (i - 1, 0), (i,), costs[i]) for i in range(1, n)]
    return Graph("skipping", tensors, tuple(ops), (n - 1,))


@given(rich_graphs(max_ops=5), st.floats(0.4, 1.0))
@settings(max_examples=60, deadline=None)
def test_bound_is_never_above_the_least_cost(graph: Graph, share: float) -> None:
    budget = int(share * peak_live(graph, range(len(graph.ops))))
    least = least_cost(graph, budget)
    if least is None:
        return
    found = bound_repeats(graph, budget, seconds=30.0)
    assert 0 <= found.cost <= (least - graph.base_cost) * (1 + 1e-9) + 1e-12 * graph.base_cost


def test_bound_meets_the_cost_of_the_one_repeat_that_must_be() -> None:
    graph = skipping((5.0, 1.0, 1.0, 1.0), (100, 100, 100, 1))
    budget = 201  # op 2 needs both its own and what it reads; t0 cannot stay
    assert least_cost(graph, budget) == pytest.approx(graph.base_cost + 5.0)
    found = bound_repeats(graph, budget, seconds=30.0)
    # t0 does not fit by 99 of its 100 bytes
    assert found.cost == pytest.approx(5.0 * 99 / 100, rel=1e-2)  # prices are told apart to 1 %


def test_search_reports_the_bound() -> None:
    graph = skipping((5.0, *[1.0] * 18, 0.0), (100, *[100] * 18, 1))  # one op is free: it could run again for nothing
    bounds = []
    off = frozenset({"exact-remat", "cut-bound"})
    for disabled in (off, off | {"price-bound"}):
        found = search_remat(graph, 201, seconds=5.0, disabled=disabled)
        assert found.cost == pytest.approx(graph.base_cost + 5.0)
        assert found.cost_bound is not None
        bounds.append(found.cost_bound - graph.base_cost)
    assert bounds[0] > 4.0
    assert bounds[1] == pytest.approx(0.0)


def test_no_price_leaves_nothing_to_hold() -> None:
    graph = skipping((5.0, 1.0, 1.0, 1.0), (100, 100, 100, 1))
    assert live_profile(priced_graph(graph, 0.0, 1e-6), range(4)) == [0, 0, 0, 0]


def test_a_dear_byte_makes_storages_weigh_what_their_producers_cost() -> None:
    graph = skipping((5.0, 1.0, 1.0, 1.0), (100, 100, 100, 1))
    # t0 crosses op 2 at its cost of 5; op 2 itself holds t1 and t2 at the price of their bytes.
    assert live_profile(priced_graph(graph, 10.0, 1.0), range(4))[2] == 5 + 2 * 100 * 10


def test_a_set_flag_ends_it_at_once() -> None:
    graph = read_graph(DATA / "G4.json")
    assert bound_repeats(graph, 500_000, seconds=60.0, flag=np.ones(1, np.int32)) == PriceBound(0.0, 0.0)


@pytest.mark.parametrize("costs", [(1, 5e-324, 1, 1), (1, 1e-310, 1, 1), (5e-324,) * 4, (0,) * 4, (1e300,) * 4])
def test_extreme_costs_are_borne(costs: tuple[float, ...]) -> None:
    graph = skipping(costs, (100, 100, 100, 1))
    found = bound_repeats(graph, 201, seconds=5.0)
    assert 0 <= found.cost <= costs[0] * (1 + 1e-9)
