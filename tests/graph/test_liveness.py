import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.simple_planner import instances, simple_plan
from tests.graph.strategies import scheduled_graphs
from tests.graph.two_branches import KIB, TWO_BRANCHES
from tvm_memopt.errors import PlanError
from tvm_memopt.graph import Buffer, Graph, Op, Tensor, given_order, lifetimes, live_profile, peak_live, read_graph
from tvm_memopt.graph.liveness import best_sharing

PUBLISHED = Path(__file__).parents[1] / "data" / "remat"


def chain(*, inplace: bool = False, **changes: int) -> Graph:
    """a (10) -> b (10) -> c (4)."""
    pairs = ((0, 1),) if inplace else ()
    ops = (Op("a", (), (0,)), Op("b", (0,), (1,), inplace=pairs, **changes), Op("c", (1,), (2,)))
    return Graph("chain", (Tensor("a", 10), Tensor("b", 10), Tensor("c", 4)), ops)


def test_a_tensor_is_held_from_its_producer_to_its_last_reader() -> None:
    lives = lifetimes(chain(), (0, 1, 2))
    assert lives.buffers == (Buffer(0, 0, 1, 10), Buffer(1, 1, 2, 10), Buffer(2, 2, 2, 4))
    assert live_profile(chain(), (0, 1, 2)) == [10, 20, 14]


def test_a_workspace_is_held_for_its_step_alone() -> None:
    graph = chain(workspace=7)
    assert Buffer(None, 1, 1, 7) in lifetimes(graph, (0, 1, 2)).buffers
    assert live_profile(graph, (0, 1, 2)) == [10, 27, 14]


def test_a_dying_input_shares_its_bytes_with_an_inplace_output() -> None:
    graph = chain(inplace=True)
    assert lifetimes(graph, (0, 1, 2)).inplace == ((0, 1),)
    assert live_profile(graph, (0, 1, 2)) == [10, 10, 14]


def test_an_input_that_is_read_later_does_not_share() -> None:
    ops = (Op("a", (), (0,)), Op("b", (0,), (1,), inplace=((0, 1),)), Op("c", (0, 1), (2,)))
    graph = Graph("kept", (Tensor("a", 10), Tensor("b", 10), Tensor("c", 4)), ops)
    assert lifetimes(graph, (0, 1, 2)).inplace == ()
    assert live_profile(graph, (0, 1, 2)) == [10, 20, 24]


def test_a_returned_input_does_not_share_even_in_the_last_step() -> None:
    ops = (Op("a", (), (0,)), Op("b", (0,), (1,), inplace=((0, 1),)))
    graph = Graph("returned", (Tensor("a", 10), Tensor("b", 10)), ops, (0, 1))
    assert lifetimes(graph, (0, 1)).inplace == ()
    assert peak_live(graph, (0, 1)) == 20


def test_an_older_instance_of_a_returned_tensor_may_share() -> None:
    ops = (Op("a", (), (0,)), Op("b", (0,), (1,), inplace=((0, 1),)))
    graph = Graph("returned", (Tensor("a", 10), Tensor("b", 10)), ops, (0,))
    assert lifetimes(graph, (0, 1, 0)).inplace == ((0, 1),)
    assert live_profile(graph, (0, 1, 0)) == [10, 10, 10]


def test_an_arena_input_that_dies_in_the_first_step_shares() -> None:
    graph = Graph("first", (Tensor("x", 10, "input"), Tensor("y", 10)), (Op("f", (0,), (1,), inplace=((0, 1),)),))
    assert live_profile(graph, (0,)) == [10]


def test_one_input_shares_with_one_of_two_outputs_only() -> None:
    ops = (Op("a", (), (0,)), Op("split", (0,), (1, 2), inplace=((0, 1), (0, 2))))
    graph = Graph("split", (Tensor("a", 10), Tensor("b", 6), Tensor("c", 9)), ops)
    assert live_profile(graph, (0, 1)) == [10, 25 - 9]


def test_a_view_keeps_its_root_alive_and_has_no_bytes() -> None:
    tensors = (Tensor("a", 10), Tensor("v", 10, alias_of=0), Tensor("w", 10, alias_of=1), Tensor("y", 3))
    ops = (Op("a", (), (0,)), Op("v", (0,), (1,)), Op("w", (1,), (2,)), Op("y", (2,), (3,)))
    graph = Graph("views", tensors, ops)
    assert lifetimes(graph, (0, 1, 2, 3)).buffers == (Buffer(0, 0, 3, 10), Buffer(3, 3, 3, 3))


def test_an_inplace_pair_through_a_view_shares_the_root() -> None:
    tensors = (Tensor("a", 10), Tensor("v", 10, alias_of=0), Tensor("y", 10))
    ops = (Op("a", (), (0,)), Op("v", (0,), (1,)), Op("y", (1,), (2,), inplace=((1, 2),)))
    assert live_profile(Graph("view pair", tensors, ops), (0, 1, 2)) == [10, 10, 10]


def test_returned_tensors_are_held_to_the_last_step_through_views_too() -> None:
    tensors = (Tensor("a", 10), Tensor("v", 10, alias_of=0), Tensor("b", 3))
    graph = Graph("returned", tensors, (Op("a", (), (0,)), Op("v", (0,), (1,)), Op("b", (), (2,))), (1,))
    assert lifetimes(graph, (0, 1, 2)).buffers[0] == Buffer(0, 0, 2, 10)


def test_tensors_outside_the_arena_weigh_nothing() -> None:
    tensors = (Tensor("x", 50, "input", arena=False), Tensor("y", 60, arena=False), Tensor("z", 5))
    graph = Graph("outside", tensors, (Op("y", (0,), (1,)), Op("z", (1,), (2,))), (1,))
    assert live_profile(graph, (0, 1)) == [0, 5]


def test_arena_inputs_are_held_from_step_zero_to_their_last_reader() -> None:
    tensors = (Tensor("x", 50, "input"), Tensor("unread", 7, "weight"), Tensor("a", 1), Tensor("y", 2))
    graph = Graph("inputs", tensors, (Op("a", (), (2,)), Op("y", (0, 2), (3,))))
    assert lifetimes(graph, (0, 1)).buffers[:2] == (Buffer(0, 0, 1, 50), Buffer(1, 0, 0, 7))
    assert live_profile(graph, (0, 1)) == [58, 53]


def test_a_dead_output_is_held_for_its_own_step() -> None:
    graph = Graph("dead", (Tensor("a", 4), Tensor("b", 9)), (Op("both", (), (0, 1)), Op("read", (0,), ())))
    assert live_profile(graph, (0, 1)) == [13, 4]


def test_reads_after_a_recomputation_see_the_newest_instance() -> None:
    lives = lifetimes(TWO_BRANCHES, (0, 1, 2, 0, 3, 4))
    assert [(b.first, b.last) for b in lives.buffers if b.tensor == 0] == [(0, 1), (3, 4)]


def test_the_two_branches_fit_better_in_another_order_and_best_with_a_recomputation() -> None:
    assert peak_live(TWO_BRANCHES, given_order(TWO_BRANCHES)) == 176 * KIB
    orders = [o for o in itertools.permutations(range(5)) if is_topological(TWO_BRANCHES, o)]
    assert min(peak_live(TWO_BRANCHES, order) for order in orders) == 168 * KIB
    assert peak_live(TWO_BRANCHES, (0, 1, 2, 0, 3, 4)) == 160 * KIB


def is_topological(graph: Graph, order: tuple[int, ...]) -> bool:
    return all(order.index(before) < order.index(op) for op in order for before in graph.predecessors[op])


def test_a_read_before_its_producer_is_an_error_that_names_both() -> None:
    with pytest.raises(PlanError, match=r"step 0: op 1 \(b\) reads tensor 0 \(a\) before its producer has run"):
        peak_live(chain(), (1, 0, 2))


def test_an_empty_schedule_holds_nothing() -> None:
    assert peak_live(Graph("empty", (Tensor("x", 5, "input"),), ()), ()) == 0


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("G1", 46_319),
        ("G2", 146_840),
        ("G3", 284_439),
        ("G4", 608_619),
        ("CM1", 13_484_795_520),
        ("CM2", 38_059_356_160),
    ],
)
def test_published_graphs_have_their_published_peaks(name: str, peak: int) -> None:
    graph = read_graph(PUBLISHED / f"{name}.json")
    assert peak_live(graph, given_order(graph)) == peak


@pytest.mark.parametrize("name", ["VGG16-train", "MobileNet-train"])
def test_training_graphs_have_the_peak_of_a_count_by_hand(name: str) -> None:
    document = json.loads((PUBLISHED / f"{name}.json").read_text(encoding="utf-8"))
    last = {t: step for step, op in enumerate(document["ops"]) for t in (*op["outputs"], *op["inputs"])}
    born = {t: step for step, op in enumerate(document["ops"]) for t in op["outputs"]}
    held = [
        sum(document["tensors"][t]["nbytes"] for t in born if born[t] <= step <= last[t])
        for step in range(len(document["ops"]))
    ]
    graph = read_graph(PUBLISHED / f"{name}.json")
    assert live_profile(graph, given_order(graph)) == held


@given(scheduled_graphs())
def test_lifetimes_agree_with_an_independent_count(case: tuple[Graph, tuple[int, ...]]) -> None:
    graph, schedule = case
    found = sorted((-1 if b.tensor is None else b.tensor, b.first, b.last, b.nbytes) for b in lifetimes(*case).buffers)
    assert found == sorted(map(tuple, instances(graph, schedule)))


@given(scheduled_graphs())
def test_no_plan_of_a_schedule_holds_less_than_its_peak(case: tuple[Graph, tuple[int, ...]]) -> None:
    graph, schedule = case
    assert peak_live(graph, schedule) <= simple_plan(graph, schedule, inplace=True).peak_live_nbytes
    apart = sum(buffer.nbytes for buffer in lifetimes(graph, schedule).buffers)
    assert peak_live(graph, schedule) <= apart


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9)), max_size=8))
def test_best_sharing_is_the_best_matching(pairs: list[tuple[int, int, int]]) -> None:
    pairs = list({(source, target): (source, target, n) for source, target, n in pairs}.values())
    subsets = itertools.chain.from_iterable(itertools.combinations(pairs, k) for k in range(len(pairs) + 1))
    apart = [s for s in subsets if len({p[0] for p in s}) == len({p[1] for p in s}) == len(s)]
    assert best_sharing(pairs) == max(sum(p[2] for p in subset) for subset in apart)


def test_best_sharing_of_many_pairs_is_found() -> None:
    assert best_sharing([(i, j, 10 if i == j else 9) for i in range(20) for j in range(20)]) == 200
