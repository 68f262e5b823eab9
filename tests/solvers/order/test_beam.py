import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.strategies import random_schedule
from tests.solvers.brute_force import least_peak
from tests.solvers.strategies import SEEDS, chain, diamond, graphs
from tvm_memopt.graph import Graph, given_order, live_profile, peak_live
from tvm_memopt.solvers import Deadline
from tvm_memopt.solvers.order import beam_search
from tvm_memopt.solvers.order.downsets import (
    State,
    downset_space,
    make_safe_moves,
    root_state,
    successor,
)

WIDE = 10_000


@pytest.mark.parametrize("safe_moves", [True, False])
@given(graph=graphs(max_ops=8))
@settings(max_examples=150, deadline=None)
def test_wide_beam_proves_the_least_peak_of_all_orders(safe_moves: bool, graph: Graph) -> None:
    peak = peak_live(graph, given_order(graph))
    found = beam_search(graph, WIDE, Deadline(60), peak, safe_moves=safe_moves)
    assert found.proved
    assert found.peak_nbytes == least_peak(graph)
    assert found.order is None or peak_live(graph, found.order) == found.peak_nbytes < peak


@given(graphs(max_ops=16), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_narrow_beam_is_honest(graph: Graph, width: int) -> None:
    peak = peak_live(graph, given_order(graph))
    narrow = beam_search(graph, width, Deadline(60), peak)
    wide = beam_search(graph, WIDE, Deadline(60), peak)
    assert wide.peak_nbytes <= narrow.peak_nbytes
    assert narrow.order is None or peak_live(graph, narrow.order) == narrow.peak_nbytes
    assert not narrow.proved or narrow.peak_nbytes == wide.peak_nbytes


@given(graphs(max_ops=10), SEEDS)
@settings(max_examples=100, deadline=None)
def test_state_knows_what_the_definition_of_liveness_says(graph: Graph, seed: int) -> None:
    order = random_schedule(graph, random.Random(seed))
    space = downset_space(graph)
    state = root_state(space)
    for op in order:
        state = successor(space, state, op)
    assert state.order() == order
    assert state.peak == max(live_profile(graph, order), default=0)


@given(graphs(max_ops=7), SEEDS, st.integers(0, 100))
@settings(max_examples=150, deadline=None)
def test_safe_moves_keep_the_best_completion(graph: Graph, seed: int, share: int) -> None:
    order = random_schedule(graph, random.Random(seed))[: share * len(graph.ops) // 100]
    space = downset_space(graph)
    state = root_state(space)
    for op in order:
        state = successor(space, state, op)
    target = _best_completion(graph, state)
    make_safe_moves(space, state, target)
    assert _best_completion(graph, state) == target


def _best_completion(graph: Graph, state: State) -> int:
    """The least peak over all completions of the executed ops, every one tried."""
    best = [sum(t.nbytes for t in graph.tensors) + sum(op.workspace for op in graph.ops)]
    space = downset_space(graph)

    def extend(current: State) -> None:
        if current.peak > best[0]:
            return
        if not current.left:
            best[0] = current.peak
        for op in list(current.ready):
            extend(successor(space, current, op))

    extend(state)
    return best[0]


def test_incumbent_that_cannot_be_beaten_is_proved() -> None:
    found = beam_search(diamond(), 8, Deadline(60), 120)
    assert (found.order, found.peak_nbytes, found.proved) == (None, 120, True)


def test_nothing_is_proved_after_the_deadline() -> None:
    found = beam_search(diamond(), WIDE, Deadline(0), 210)
    assert (found.order, found.proved) == (None, False)


def test_safe_moves_collapse_a_long_chain() -> None:
    found = beam_search(chain(2000), 1, Deadline(60), 129)
    assert (found.peak_nbytes, found.proved) == (128, True)
