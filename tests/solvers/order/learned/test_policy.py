import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.solvers.order.native_tools import assert_valid, rich_graphs, some_order
from tests.twins.order.policy import plain_beam, plain_draw, plain_follow
from tests.twins.order.policy_state import PlainPolicyState
from tvm_memopt.graph import layered_graph, peak_live
from tvm_memopt.solvers.native.order import policy as native
from tvm_memopt.solvers.native.order.problem import packed_problem
from tvm_memopt.solvers.order.live_state import memory_tables

SEEDS = st.integers(0, 2**20)


def _policy(graph, seed, *, state=True):
    rng = np.random.default_rng(seed)
    n = len(graph.ops)
    priority = rng.normal(size=n).astype(np.float32)
    weights = rng.normal(size=(n, len(native.STATE_FEATURES))).astype(np.float32)
    return native.Policy(priority, weights if state else np.zeros(0, np.float32), safe_moves=bool(seed % 3))


@given(rich_graphs(12), SEEDS, st.booleans())
def test_drawn_orders_equal_those_of_the_plain_twin(graph, seed, state):
    problem, policy = packed_problem(graph), _policy(graph, seed, state=state)
    for options in ({}, {"seed": seed}, {"noise": np.random.default_rng(seed).gumbel(size=(3, len(graph.ops)))}):
        one, other = native.draw(problem, policy, 3, **options), plain_draw(graph, policy, 3, **options)
        np.testing.assert_array_equal(one.orders, other.orders)
        np.testing.assert_array_equal(one.held, other.held)
        assert one.best == other.best


@given(rich_graphs(12), SEEDS)
def test_drawn_orders_are_valid_and_peaks_are_theirs(graph, seed):
    drawn = native.draw(packed_problem(graph), _policy(graph, seed), 4, seed=seed)
    for order, peak in zip(drawn.orders.tolist(), drawn.peaks.tolist(), strict=True):
        assert_valid(graph, order)
        assert peak_live(graph, order) == peak


@given(rich_graphs(10), SEEDS)
def test_likelihood_and_gradient_equal_those_of_the_plain_twin(graph, seed):
    problem, policy = packed_problem(graph), _policy(graph, seed)
    orders = native.draw(problem, policy, 2, seed=seed).orders
    importance = np.random.default_rng(seed).normal(size=orders.shape).astype(np.float32)
    limits = np.array([0, 100])
    one = native.follow(problem, policy, orders, limits=limits, importance=importance)
    other = plain_follow(graph, policy, orders.tolist(), limits=limits.tolist(), importance=importance)
    np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, rtol=1e-9)
    np.testing.assert_array_equal(one.decisions, other.decisions)
    np.testing.assert_allclose(one.priority_gradient, other.priority_gradient, atol=1e-3)
    np.testing.assert_allclose(one.weights_gradient, other.weights_gradient, rtol=1e-3, atol=1e-3)


def test_the_gradient_is_the_derivative_of_the_log_probability():
    graph = layered_graph(25, seed=2)
    problem, policy = packed_problem(graph), _policy(graph, 4)
    order = native.draw(problem, policy, 1, seed=1).orders

    def log_probability(priority):
        return native.follow(problem, native.Policy(priority, policy.weights), order).log_probabilities[0]

    policy = native.Policy(policy.priority, policy.weights)
    gradient = native.follow(problem, policy, order).priority_gradient
    for op in range(0, 25, 3):
        moved = [policy.priority.copy(), policy.priority.copy()]
        moved[0][op] -= 0.01
        moved[1][op] += 0.01
        slope = (log_probability(moved[1]) - log_probability(moved[0])) / 0.02
        assert slope == pytest.approx(gradient[op], abs=2e-3)


@given(rich_graphs(10), SEEDS)
def test_beams_equal_those_of_the_plain_twin(graph, seed):
    problem, policy = packed_problem(graph), _policy(graph, seed)
    order, peak = native.beam(problem, policy, width=3, branches=2)
    plain_order, plain_peak = plain_beam(graph, policy, width=3, branches=2)
    assert peak == plain_peak == peak_live(graph, order.tolist())
    assert order.tolist() == plain_order


@given(rich_graphs(12), SEEDS)
def test_safe_moves_keep_the_peak_of_the_order_that_is_followed(graph, seed):
    assume(memory_tables(graph).orphans == 0)  # they belong to the program's first step, whichever op that is
    order = some_order(graph, seed)
    limit = peak_live(graph, order)
    state = PlainPolicyState(graph, native.Policy(np.zeros(len(graph.ops))), limit)
    for op in reversed(order):
        if op not in state.taken:
            state.run(op)
    assert_valid(graph, state.taken[::-1])
    assert state.peak == peak_live(graph, state.taken[::-1]) <= limit


def test_a_policy_of_another_graph_is_refused():
    problem = packed_problem(layered_graph(10, seed=0))
    with pytest.raises(ValueError, match="priority: expected 10 numbers, got 9"):
        native.draw(problem, native.Policy(np.zeros(9)), 1)
    with pytest.raises(RuntimeError, match="not a topological order"):
        native.follow(problem, native.Policy(np.zeros(10)), np.arange(10)[None, ::-1])
