import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.solvers.brute_force import least_peak
from tests.solvers.order.native_tools import assert_valid, rich_graphs, some_order
from tests.solvers.strategies import SEEDS, chain, diamond
from tvm_memopt.graph import Graph, Op, Tensor, given_order, layered_graph, peak_live, random_graph, read_graph
from tvm_memopt.solvers.order.order_switches import ORDER_SWITCHES
from tvm_memopt.solvers.order.search import OrderResult, search_order

PUBLISHED = Path(__file__).parents[2] / "data" / "remat"
LONG = 60.0


def check(graph: Graph, found: OrderResult) -> None:
    assert_valid(graph, found.order)
    assert found.peak == peak_live(graph, found.order) <= peak_live(graph, given_order(graph))
    assert found.bound <= found.peak
    assert found.proved == (found.bound == found.peak)


@pytest.mark.parametrize("seed", range(200))
def test_two_hundred_random_graphs_of_up_to_16_ops_match_brute_force(seed: int) -> None:
    graph = random_graph(1 + seed % 16, seed=1000 + seed)
    found = search_order(graph, seconds=LONG, seed=seed, threads=1 + seed % 2)
    check(graph, found)
    assert (found.peak, found.proved) == (least_peak(graph), True)


@pytest.mark.parametrize("switch", ORDER_SWITCHES)
@given(graph=rich_graphs(max_ops=9), seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_result_is_proved_with_any_one_trick_off(switch: str, graph: Graph, seed: int) -> None:
    if switch == "exact-order":  # then only bounds can prove
        return
    start = some_order(graph, seed)
    found = search_order(graph, seconds=LONG, seed=seed, start_orders=[start], disabled=frozenset({switch}))
    check(graph, found)
    assert found.peak <= peak_live(graph, start)
    assert (found.peak, found.proved) == (least_peak(graph), True)


def test_without_exact_search_the_bound_is_honest() -> None:
    graph = read_graph(PUBLISHED / "G1.json")
    found = search_order(graph, seconds=0.3, disabled=frozenset({"exact-order"}))
    check(graph, found)
    assert found.bound <= 36_790 <= found.peak


def test_without_any_trick_the_given_order_comes_back() -> None:
    found = search_order(diamond(), seconds=LONG, disabled=frozenset(ORDER_SWITCHES))
    assert (found.order, found.peak, found.proved, found.method) == (given_order(diamond()), 210, False, "given")


@pytest.mark.parametrize(("name", "peak"), [("G1", 36_790), ("G2", 105_170), ("G3", 247_960), ("CM1", 13_484_795_520)])
def test_published_graphs_are_solved_to_proof(name: str, peak: int) -> None:
    graph = read_graph(PUBLISHED / f"{name}.json")
    found = search_order(graph, seconds=LONG, threads=2)
    check(graph, found)
    assert (found.peak, found.bound) == (peak, peak)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_seed_and_threads_give_the_same_order(threads: int) -> None:
    for seed in range(5):
        graph = layered_graph(60, seed=seed)
        runs = [search_order(graph, seconds=LONG, seed=5, threads=threads) for _ in range(3)]
        assert all(run.proved for run in runs)
        assert len({run.order for run in runs}) == 1


def test_set_flag_ends_the_search_with_a_valid_order() -> None:
    graph = layered_graph(1500, seed=0)
    flag = np.zeros(1, np.int32)
    news: list[tuple[int, int, str]] = []
    found: list[OrderResult] = []

    def listen(peak: int, bound: int, method: str) -> None:
        news.append((peak, bound, method))
        flag[0] = 1

    def run() -> None:
        found.append(search_order(graph, seconds=1000 * LONG, threads=2, flag=flag, progress=listen))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LONG)
    assert not thread.is_alive()
    check(graph, found[0])
    assert news


def test_failing_listener_stops_the_search() -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_order(layered_graph(300, seed=0), seconds=1000 * LONG, progress=fail)


def test_sizes_near_the_limit_are_handled() -> None:
    tensors = tuple(Tensor(f"t{i}", 2**61) for i in range(4))
    ops = tuple(Op(f"o{i}", (i - 1,) if i else (), (i,)) for i in range(4))
    graph = Graph("huge", tensors, ops)
    check(graph, search_order(graph, seconds=LONG))


def test_no_op_needs_nothing() -> None:
    found = search_order(Graph("empty", (), ()), seconds=LONG)
    assert (found.order, found.peak, found.proved) == ((), 0, True)


def test_long_chain_falls_into_single_steps() -> None:
    found = search_order(chain(3000), seconds=LONG)
    assert (found.peak, found.proved, found.stats["segments"]) == (128, True, 3000)
