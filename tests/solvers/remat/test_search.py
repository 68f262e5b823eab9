from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.order.native_tools import rich_graphs
from tests.solvers.remat.dijkstra import least_cost
from tests.solvers.remat.test_native_remat import assert_runs
from tests.solvers.strategies import chain, diamond
from tvm_memopt.graph import Graph, layered_graph, peak_live, read_graph, working_set_bound
from tvm_memopt.solvers.remat.remat_switches import REMAT_SWITCHES
from tvm_memopt.solvers.remat.result import RematResult
from tvm_memopt.solvers.remat.search import search_remat

DATA = Path(__file__).parents[2] / "data" / "remat"


def assert_right(graph: Graph, budget: int, result: RematResult) -> None:
    """The figures are those of the schedule, and the status says what they prove."""
    assert_runs(graph, result.schedule)
    assert result.peak_nbytes == peak_live(graph, result.schedule)
    assert result.cost == pytest.approx(sum(graph.ops[op].cost for op in result.schedule))
    assert (result.peak_nbytes <= budget) == (result.status in ("optimal", "feasible"))
    if result.status == "optimal":
        assert result.cost_bound == pytest.approx(result.cost)


@given(rich_graphs(max_ops=5), st.floats(0.5, 1.0))
@settings(max_examples=25, deadline=None)
def test_search_is_right_on_small_graphs(graph: Graph, share: float) -> None:
    budget = int(share * peak_live(graph, range(len(graph.ops))))
    least = least_cost(graph, budget)
    result = search_remat(graph, budget, seconds=60.0, rounds=2, cost_bound=least or 0.0)
    assert_right(graph, budget, result)
    if least is None:
        assert result.status in ("infeasible", "unknown")
    else:
        assert (result.status, result.cost) == ("optimal", pytest.approx(least))


@given(rich_graphs(max_ops=5), st.floats(0.5, 1.0))
@settings(max_examples=25, deadline=None)
def test_bound_of_the_search_is_below_the_least_cost(graph: Graph, share: float) -> None:
    budget = int(share * peak_live(graph, range(len(graph.ops))))
    least = least_cost(graph, budget)
    result = search_remat(graph, budget, seconds=0.05)
    assert_right(graph, budget, result)
    assert least is None or (result.cost_bound is not None and result.cost_bound <= least * (1 + 1e-9))
    assert (result.status == "infeasible") <= (least is None)


@pytest.mark.parametrize("name", REMAT_SWITCHES)
def test_each_switch_off_is_valid(name: str) -> None:
    graph = layered_graph(50, seed=9)
    budget = int(0.6 * peak_live(graph, range(50)))
    result = search_remat(graph, budget, seconds=60.0, rounds=2, disabled=frozenset({name}))
    assert_right(graph, budget, result)
    assert result.peak_nbytes < peak_live(graph, range(50))


def test_order_search_off_and_on_agree_where_an_order_fits() -> None:
    graph = diamond()
    for disabled in (frozenset[str](), frozenset({"order-annealing"}), frozenset({"order-search"})):
        result = search_remat(graph, 120, seconds=5.0, disabled=disabled)
        assert (result.status, result.cost, result.peak_nbytes) == ("optimal", graph.base_cost, 120)


@pytest.mark.parametrize("threads", [1, 2])
def test_same_seed_threads_and_rounds_give_the_same_schedule(threads: int) -> None:
    graph = layered_graph(50, seed=9)
    budget = int(0.6 * peak_live(graph, range(50)))
    found = [search_remat(graph, budget, seconds=60.0, seed=4, threads=threads, rounds=3) for _ in range(2)]
    assert found[0].schedule == found[1].schedule
    assert found[0].stats["moves"] == found[1].stats["moves"]


def test_published_graph_needs_no_repeat_at_four_fifths() -> None:
    graph = read_graph(DATA / "G1.json")
    result = search_remat(graph, 37056, seconds=30.0)
    assert (result.status, result.cost) == ("optimal", graph.base_cost)
    assert result.peak_nbytes <= 37056


def test_published_graph_with_repeats_stays_below_the_published_cost() -> None:
    graph = read_graph(DATA / "CM1.json")  # 80 %: the paper pays 0.1 %, rounded
    budget = 10787836417
    result = search_remat(graph, budget, seconds=60.0, rounds=2)
    assert_right(graph, budget, result)
    assert 1.0 < result.cost / graph.base_cost < 1.0015


def test_budget_below_an_op_is_infeasible() -> None:
    graph = diamond()
    budget = working_set_bound(graph)[0] - 1
    result = search_remat(graph, budget, seconds=1.0)
    assert result.status == "infeasible"
    assert_right(graph, budget, result)


def test_budget_that_is_not_met_gives_the_least_peak_found() -> None:
    graph = read_graph(DATA / "G1.json")
    budget = working_set_bound(graph)[0]
    result = search_remat(graph, budget, seconds=60.0, rounds=1)
    assert result.status == "unknown"
    assert budget < result.peak_nbytes < 0.8 * peak_live(graph, range(len(graph.ops)))


def test_given_order_within_the_budget_is_the_answer() -> None:
    graph = chain(6)
    result = search_remat(graph, 128, seconds=1.0)
    assert (result.schedule, result.status) == (tuple(range(6)), "optimal")


def test_answer_is_never_worse_than_a_start() -> None:
    graph = layered_graph(50, seed=9)
    budget = int(0.6 * peak_live(graph, range(50)))
    start = search_remat(graph, budget, seconds=60.0, rounds=2)
    again = search_remat(graph, budget, seconds=60.0, rounds=0, start_schedules=[start.schedule])
    assert again.cost <= start.cost
    assert again.peak_nbytes <= max(budget, start.peak_nbytes)


def test_flag_ends_the_search_with_the_best_so_far() -> None:
    graph = layered_graph(200, seed=1)
    flag = np.zeros(1, np.int32)
    news: list[float] = []

    def stop(cost: float, peak: int, method: str) -> None:
        news.append(cost)
        flag[0] = 1

    budget = int(0.6 * peak_live(graph, range(200)))
    result = search_remat(graph, budget, seconds=600.0, flag=flag, progress=stop)
    assert_right(graph, budget, result)
    assert news
    assert result.stats["stopped"]


def test_ctrl_c_ends_the_search_with_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tvm_memopt.solvers.remat.rounds.time.sleep", press)
    graph = layered_graph(200, seed=1)
    budget = int(0.6 * peak_live(graph, range(200)))
    result = search_remat(graph, budget, seconds=600.0)
    assert_right(graph, budget, result)
    assert result.stats["stopped"]
