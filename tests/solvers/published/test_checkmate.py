"""Checkmate's integer programme against every schedule of its space, and its published costs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.solvers.remat.brute_force import least_staged_cost
from tests.solvers.strategies import chain, graphs
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import given_order, layered_graph, parse_budget, peak_live, read_graph, working_set_bound
from tvm_memopt.solvers.published.checkmate import highs_run
from tvm_memopt.solvers.published.checkmate.solve import round_checkmate, solve_checkmate

# Not importorskip: highspy and OR-tools carry clashing copies of HiGHS and cannot be loaded into one process.
pytestmark = pytest.mark.skipif(find_spec("highspy") is None, reason="Checkmate's programme is solved by HiGHS")

DATA = Path(__file__).parents[2] / "data" / "remat"
FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(st.integers(3, 6), st.integers(0, 10**6), st.floats(0, 1))
def test_on_plain_graphs_the_optimum_is_that_of_every_staged_schedule(n, seed, share):
    graph = layered_graph(n, seed=seed)
    low, high = working_set_bound(graph)[0], peak_live(graph, given_order(graph))
    assume(low < high)
    budget = low + int(share * (high - low))
    expected = least_staged_cost(graph, budget, None, epilogue=False)
    found = solve_checkmate(graph, budget, time_limit=30)
    if expected is None:
        assert found.status == "infeasible"
    else:
        assert found.status == "optimal"
        assert found.cost == pytest.approx(expected)
        assert peak_live(graph, found.schedule) == found.peak_nbytes <= budget


@FEW
@given(graphs(max_ops=5, max_nbytes=9), st.floats(0, 1))
def test_on_graphs_with_everything_answers_fit_and_claims_hold(graph, share):
    low, high = working_set_bound(graph)[0], peak_live(graph, given_order(graph))
    assume(0 < low < high)
    budget = low + int(share * (high - low))
    found = solve_checkmate(graph, budget, time_limit=30)
    expected = least_staged_cost(graph, budget, None, epilogue=bool(graph.returned))
    if found.status in ("optimal", "feasible"):
        assert peak_live(graph, found.schedule) <= budget
        assert expected is not None
        assert found.cost >= expected - 1e-9
    assert found.status != "infeasible" or least_staged_cost(graph, budget, None, epilogue=False) is None


def test_published_cost_of_vgg16_at_90_percent():
    graph = read_graph(DATA / "VGG16-train.json")
    budget = parse_budget("90%", graph)
    found = solve_checkmate(graph, budget, time_limit=60)
    assert found.status == "optimal"
    assert found.cost / graph.base_cost == pytest.approx(1.0197, abs=5e-5)
    assert peak_live(graph, found.schedule) <= budget


def test_rounding_finds_a_schedule_that_is_no_cheaper_than_the_optimum():
    graph = read_graph(DATA / "VGG16-train.json")
    budget = parse_budget("90%", graph)
    found = round_checkmate(graph, budget, time_limit=60)
    assert found.status == "feasible"
    assert found.cost / graph.base_cost >= 1.0196
    assert peak_live(graph, found.schedule) <= budget


@pytest.mark.parametrize("solve", [solve_checkmate, round_checkmate])
def test_a_budget_below_the_working_set_is_infeasible(solve):
    graph = read_graph(DATA / "VGG16-train.json")
    found = solve(graph, parse_budget("80%", graph))
    assert (found.status, found.scope) == ("infeasible", "every schedule")


def test_a_model_too_large_for_the_time_limit_is_not_built():
    graph = read_graph(DATA / "G4.json")
    found = solve_checkmate(graph, parse_budget("90%", graph), time_limit=5)
    assert found.status == "unknown"
    assert found.schedule == given_order(graph)
    assert "too large" in found.stats["reason"]


def test_a_process_that_overruns_the_time_limit_is_ended():
    graph = read_graph(DATA / "CM1.json")
    found = solve_checkmate(graph, parse_budget("80%", graph), time_limit=0.7)
    assert found.status in ("unknown", "feasible")
    assert found.peak_nbytes == peak_live(graph, found.schedule)


def test_without_highspy_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(highs_run, "find_spec", lambda name: None)
    with pytest.raises(MemoptError, match="pip install highspy"):
        solve_checkmate(chain(3), 200)
