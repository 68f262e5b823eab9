import signal
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.joint_brute_force import least_joint_arena
from tests.solvers.strategies import diamond, graphs
from tvm_memopt.errors import BudgetError
from tvm_memopt.graph import check, given_order, lifetimes, random_graph
from tvm_memopt.solvers import Deadline, Request
from tvm_memopt.solvers.layout import place_greedily
from tvm_memopt.solvers.published.olla import OLLA_SWITCHES, solve_olla

ONE_THREAD = Request(time_limit=60, threads=1)


@settings(max_examples=60, deadline=None)
@given(graphs(max_ops=7, max_nbytes=100))
def test_the_joint_programme_finds_and_proves_the_least_arena_there_is(graph):
    plan = solve_olla(graph, ONE_THREAD)
    check(graph, plan)
    assert plan.arena_nbytes == least_joint_arena(graph)
    assert plan.status == "optimal"


@settings(max_examples=30, deadline=None)
@given(graphs(max_ops=7, max_nbytes=100), st.sampled_from(("cp-sat", "scip")))
def test_order_and_addresses_in_turn_are_never_better_than_both_at_once(graph, backend):
    plan = solve_olla(graph, ONE_THREAD, mode="two-phase", backend=backend)
    check(graph, plan)
    assert plan.lower_bound_nbytes <= least_joint_arena(graph) <= plan.arena_nbytes


@pytest.mark.parametrize("trick", [*OLLA_SWITCHES, "all"])
def test_no_trick_changes_the_least_arena(trick):
    disabled = frozenset(OLLA_SWITCHES if trick == "all" else [trick])
    for seed in range(8):
        graph = random_graph(6 + seed % 4, seed=seed, max_nbytes=60)
        plan = solve_olla(graph, ONE_THREAD, disabled=disabled)
        assert (plan.arena_nbytes, plan.status) == (least_joint_arena(graph), "optimal")


@pytest.mark.parametrize("trick", [*OLLA_SWITCHES, "all"])
def test_no_trick_changes_the_least_peak_that_the_first_phase_proves(trick):
    disabled = frozenset(OLLA_SWITCHES if trick == "all" else [trick])
    for seed in range(8):
        graph = random_graph(6 + seed % 4, seed=seed, max_nbytes=60)
        with_all, without = (
            solve_olla(graph, ONE_THREAD, mode="two-phase", disabled=names) for names in (frozenset(), disabled)
        )
        assert without.solver["order_bound_nbytes"] == with_all.solver["order_bound_nbytes"]
        assert without.arena_nbytes >= least_joint_arena(graph)


def test_both_backends_prove_the_same_least_peak():
    for seed in range(12):
        graph = random_graph(8, seed=seed)
        peaks = {
            solve_olla(graph, ONE_THREAD, mode="two-phase", backend=backend).solver["order_bound_nbytes"]
            for backend in ("cp-sat", "scip")
        }
        assert len(peaks) == 1


@pytest.mark.parametrize("mode", ["joint", "two-phase"])
def test_the_branches_of_the_diamond_run_one_after_the_other(mode):
    plan = solve_olla(diamond(), ONE_THREAD, mode=mode)
    assert (plan.arena_nbytes, plan.status) == (120, "optimal")


def test_the_answer_is_never_worse_than_the_incumbent_when_there_is_no_time():
    graph = random_graph(12, seed=27)
    incumbent = solve_olla(graph, ONE_THREAD)
    plan = solve_olla(graph, replace(ONE_THREAD, time_limit=1e-6), incumbent=incumbent)
    assert plan.arena_nbytes == incumbent.arena_nbytes < solve_in_no_time(graph).arena_nbytes


def solve_in_no_time(graph):
    return solve_olla(graph, replace(ONE_THREAD, time_limit=1e-6))


def test_a_graph_that_is_too_large_keeps_its_given_order():
    graph = random_graph(300, seed=1)
    plan = solve_olla(graph, replace(ONE_THREAD, time_limit=1))
    check(graph, plan)
    assert plan.solver["too_large"]
    assert plan.schedule == given_order(graph)


def test_a_budget_is_met_or_refuted():
    graph = diamond()
    met = solve_olla(graph, replace(ONE_THREAD, budget_nbytes=150))
    assert met.status == "optimal"
    assert met.arena_nbytes <= 150
    assert solve_olla(graph, replace(ONE_THREAD, budget_nbytes=100)).status == "infeasible"
    assert solve_olla(graph, replace(ONE_THREAD, budget_nbytes=115)).status == "unknown"


def test_the_same_seed_gives_the_same_plan():
    graph = random_graph(10, seed=5)
    plans = [replace(solve_olla(graph, Request(threads=2, seed=3)), solver={}) for _ in range(2)]
    assert plans[0] == plans[1]


def test_a_graph_without_ops_has_an_empty_plan():
    graph = random_graph(0, seed=0)
    assert solve_olla(graph, ONE_THREAD).arena_nbytes == 0
    assert solve_olla(graph, ONE_THREAD, mode="two-phase").arena_nbytes == 0


def test_scip_has_no_joint_programme():
    with pytest.raises(BudgetError, match="two-phase"):
        solve_olla(diamond(), ONE_THREAD, backend="scip")


@pytest.mark.parametrize(("mode", "backend"), [("joint", "cp-sat"), ("two-phase", "cp-sat")])
@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_ctrl_c_returns_the_best_so_far(seconds, mode, backend):
    graph = random_graph(45, seed=4, reach=30)
    timer = threading.Timer(seconds, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    plan = solve_olla(graph, replace(ONE_THREAD, time_limit=300), mode=mode, backend=backend)
    timer.join()
    check(graph, plan)
    assert plan.solver["interrupted"]
    first = place_greedily(lifetimes(graph, given_order(graph)), graph.alignment, Deadline(60))
    assert plan.arena_nbytes <= first.arena_nbytes
