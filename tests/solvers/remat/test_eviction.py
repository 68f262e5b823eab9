from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.remat.long_skip import fixed_long_skip, long_skip
from tests.solvers.strategies import graphs
from tvm_memopt.graph import Graph, given_order, peak_live, read_graph
from tvm_memopt.solvers.remat.eviction import SCORES, evicting_schedule
from tvm_memopt.solvers.request import Deadline

PUBLISHED = Path(__file__).parents[2] / "data" / "remat"


@given(graphs(max_ops=12), st.integers(0, 120), st.sampled_from(sorted(SCORES)))
@settings(max_examples=200, deadline=None)
def test_a_schedule_runs_every_op_and_only_what_may_run_again_twice(graph: Graph, percent: int, score: str) -> None:
    order = given_order(graph)
    budget = peak_live(graph, order) * percent // 100
    schedule = evicting_schedule(graph, order, budget, SCORES[score])
    if schedule is None:
        return
    assert peak_live(graph, schedule) >= 0  # raises where a read has no instance
    runs = Counter(schedule)
    assert sorted(runs) == list(range(len(graph.ops)))
    assert all(count == 1 or graph.ops[op].recomputable for op, count in runs.items())


@pytest.mark.parametrize("score", SCORES)
def test_with_room_for_everything_the_order_stays(score: str) -> None:
    graph = read_graph(PUBLISHED / "CM1.json")
    order = given_order(graph)
    everything = sum(tensor.nbytes for tensor in graph.tensors)
    assert evicting_schedule(graph, order, everything, SCORES[score]) == order


@pytest.mark.parametrize("score", SCORES)
def test_the_cheap_tensor_in_the_way_is_dropped_and_made_again(score: str) -> None:
    graph = long_skip()
    schedule = evicting_schedule(graph, given_order(graph), 75, SCORES[score])
    assert schedule == (0, 1, 2, 3, 0, 4)
    assert peak_live(graph, schedule) <= 75


def test_what_must_not_run_again_stays_in_the_way() -> None:
    graph = fixed_long_skip()
    assert evicting_schedule(graph, given_order(graph), 75, SCORES["bytes"]) == given_order(graph)


def test_a_training_graph_fits_half_of_its_memory_for_little() -> None:
    graph = read_graph(PUBLISHED / "CM2.json")
    order = given_order(graph)
    budget = peak_live(graph, order) // 2
    schedule = evicting_schedule(graph, order, budget, SCORES["cost by bytes"])
    assert schedule is not None
    assert peak_live(graph, schedule) <= budget
    assert sum(graph.ops[op].cost for op in schedule) < 1.02 * graph.base_cost


def test_a_passed_deadline_or_a_set_flag_ends_the_walk() -> None:
    graph, score = long_skip(), SCORES["bytes"]
    assert evicting_schedule(graph, given_order(graph), 75, score, Deadline(60), np.zeros(1, np.int32)) is not None
    assert evicting_schedule(graph, given_order(graph), 75, score, Deadline(0)) is None
    assert evicting_schedule(graph, given_order(graph), 75, score, None, np.ones(1, np.int32)) is None
