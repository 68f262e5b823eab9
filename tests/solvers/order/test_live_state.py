import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.strategies import random_schedule
from tests.solvers.brute_force import held_bytes
from tests.solvers.strategies import SEEDS, diamond, graphs
from tvm_memopt.graph import Graph, live_profile
from tvm_memopt.solvers.order import LiveState, order_profile


@given(graphs(max_ops=25), SEEDS)
@settings(max_examples=200, deadline=None)
def test_steps_hold_what_the_definition_of_liveness_says(graph: Graph, seed: int) -> None:
    order = random_schedule(graph, random.Random(seed))
    assert order_profile(graph, order) == live_profile(graph, order)


@given(graphs(max_ops=6), SEEDS)
@settings(max_examples=100, deadline=None)
def test_steps_hold_what_the_brute_force_oracle_says(graph: Graph, seed: int) -> None:
    order = list(random_schedule(graph, random.Random(seed)))
    assert order_profile(graph, order) == [held_bytes(graph, order[:i], op) for i, op in enumerate(order)]


@given(graphs(max_ops=12), st.data())
@settings(max_examples=50, deadline=None)
def test_effect_of_an_op_is_what_running_it_does(graph: Graph, data: st.DataObject) -> None:
    order = random_schedule(graph, random.Random(data.draw(SEEDS)))
    state = LiveState(graph)
    for step, op in enumerate(order):
        live, (extra, delta) = state.live, state.effect(op)
        held = state.run(op)
        assert state.live == live + delta
        if step:  # the first step also holds arena inputs that nobody reads
            assert held == live + extra


def test_live_bytes_of_the_diamond_step_by_step() -> None:
    assert order_profile(diamond(), (0, 1, 2, 3, 4, 5)) == [1, 101, 201, 210, 120, 25]
    assert order_profile(diamond(), (0, 1, 3, 2, 4, 5)) == [1, 101, 111, 111, 120, 25]
