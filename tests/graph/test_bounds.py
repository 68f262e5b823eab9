import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.simple_planner import simple_plan
from tests.graph.strategies import SEEDS, graphs, random_schedule, scheduled_graphs
from tests.graph.two_branches import KIB, TWO_BRANCHES
from tvm_memopt.graph import (
    Graph,
    Op,
    Tensor,
    align_up,
    given_order,
    packed_nbytes,
    peak_live,
    read_graph,
    working_set,
    working_set_bound,
)

PUBLISHED = Path(__file__).parents[1] / "data" / "remat"


def stacked(sizes: tuple[int, ...], alignment: int) -> int:
    """The arena of ``sizes`` on top of each other in this order."""
    top = end = 0
    for size in sizes:
        end = max(end, top + size)
        top = align_up(top + size, alignment)
    return end


@given(st.lists(st.integers(0, 40), max_size=5), st.sampled_from([1, 3, 16, 64]))
def test_packed_bytes_are_those_of_the_best_stack(sizes: list[int], alignment: int) -> None:
    best = min(stacked(order, alignment) for order in itertools.permutations(sizes))
    assert packed_nbytes(sizes, alignment) == best


@given(st.integers(0, 2**62), st.integers(1, 4096))
def test_align_up_is_the_next_multiple(nbytes: int, alignment: int) -> None:
    aligned = align_up(nbytes, alignment)
    assert aligned % alignment == 0
    assert nbytes <= aligned < nbytes + alignment


def pair_graph(source: int, target: int, alignment: int = 1, **source_changes: object) -> Graph:
    tensors = (Tensor("a", source), Tensor("b", target))
    ops = (Op("a", (), (0,)), Op("b", (0,), (1,), inplace=((0, 1),)))
    return Graph("pair", tensors, ops, alignment=alignment, **source_changes)  # type: ignore[arg-type]


def test_a_working_set_is_inputs_outputs_and_workspace() -> None:
    ops = (Op("a", (), (0,)), Op("b", (0,), (1,), workspace=5))
    assert working_set(Graph("sum", (Tensor("a", 10), Tensor("b", 20)), ops), 1) == 35


def test_an_inplace_pair_counts_once() -> None:
    assert working_set(pair_graph(10, 20), 1) == 20


def test_an_inplace_pair_is_padded_like_its_larger_half() -> None:
    tensors = (Tensor("a", 10), Tensor("b", 10), Tensor("c", 10))
    ops = (Op("a", (), (0, 2)), Op("b", (0, 2), (1,), inplace=((0, 1),)))
    assert working_set(Graph("pair", tensors, ops, alignment=64), 1) == 64 + 10


def test_a_returned_source_counts_apart_unless_it_can_be_recomputed() -> None:
    assert working_set(pair_graph(10, 10, outputs=(0,)), 1) == 10
    ops = (Op("a", (), (0,), recomputable=False), Op("b", (0,), (1,), inplace=((0, 1),)))
    graph = Graph("once", (Tensor("a", 10), Tensor("b", 10)), ops, (0,))
    assert working_set(graph, 1) == 20


def test_a_returned_source_that_is_recomputed_meets_the_bound() -> None:
    graph = pair_graph(10, 10, outputs=(0,))
    assert working_set_bound(graph) == (10, 0)
    assert peak_live(graph, (0, 1, 0)) == 10


def test_a_returned_arena_input_counts_apart() -> None:
    tensors = (Tensor("x", 10, "input"), Tensor("y", 10))
    graph = Graph("input", tensors, (Op("y", (0,), (1,), inplace=((0, 1),)),), (0,))
    assert working_set(graph, 0) == 20


def test_a_view_adds_nothing_to_a_working_set() -> None:
    tensors = (Tensor("a", 10), Tensor("v", 10, alias_of=0), Tensor("y", 1))
    graph = Graph("view", tensors, (Op("a", (), (0,)), Op("v", (0,), (1,)), Op("y", (0, 1), (2,))))
    assert working_set(graph, 2) == 11


def test_returned_tensors_together_can_be_the_bound() -> None:
    tensors = tuple(Tensor(str(i), 10) for i in range(3))
    graph = Graph("returned", tensors, tuple(Op(str(i), (), (i,)) for i in range(3)), (0, 1, 2), alignment=16)
    assert working_set_bound(graph) == (42, None)


def test_arena_inputs_together_can_be_the_bound() -> None:
    tensors = (*(Tensor(str(i), 10, "input") for i in range(3)), Tensor("y", 1))
    ops = (Op("y", (0,), (3,)),)
    assert working_set_bound(Graph("inputs", tensors, ops)) == (30, None)


def test_an_empty_graph_needs_nothing() -> None:
    assert working_set_bound(Graph("empty", (Tensor("x", 10, "input"),), ())) == (0, None)


def test_the_two_branches_reach_their_bound() -> None:
    assert working_set_bound(TWO_BRANCHES) == (160 * KIB, 1)


@pytest.mark.parametrize("name", ["G1", "G2", "G3", "G4", "CM1", "CM2", "VGG16-train", "MobileNet-train"])
def test_the_bound_of_published_graphs_is_their_heaviest_op(name: str) -> None:
    graph = read_graph(PUBLISHED / f"{name}.json")
    bound, op = working_set_bound(graph)
    sizes = [tensor.nbytes for tensor in graph.tensors]
    assert bound == max(sum(sizes[t] for t in (*o.inputs, *o.outputs)) for o in graph.ops)
    assert op is not None
    assert bound <= peak_live(graph, given_order(graph))


@given(graphs(), SEEDS)
def test_no_order_goes_below_the_bound(graph: Graph, seed: int) -> None:
    rng = random.Random(seed)
    bound, op = working_set_bound(graph)
    for repeats in (0, 0, 3):
        schedule = random_schedule(graph, rng, repeats)
        for inplace in (False, True):
            assert bound <= simple_plan(graph, schedule, inplace=inplace).arena_nbytes
    assert op is None or working_set(graph, op) == bound


@given(scheduled_graphs())
def test_without_padding_no_schedule_holds_less_than_the_bound(case: tuple[Graph, tuple[int, ...]]) -> None:
    graph, schedule = case
    unpadded = Graph(graph.name, graph.tensors, graph.ops, graph.outputs, alignment=1)
    assert working_set_bound(unpadded)[0] <= peak_live(unpadded, schedule)


@given(graphs())
def test_a_working_set_is_the_best_stack_of_its_buffers(graph: Graph) -> None:
    """Brute force over in-place choices and stacking orders, for ops of few buffers."""
    for op_id, op in enumerate(graph.ops):
        tensors = [*graph.reads[op_id], *graph.writes[op_id]]
        if len(tensors) + bool(op.workspace) > 5:
            continue
        pairs = {(r, t) for s, t in op.inplace if {r := graph.root[s], t} <= set(tensors) and ends(graph, r)}
        best = min(
            stacked(order, graph.alignment)
            for sizes in merged_sizes(graph, op, tensors, sorted(pairs))
            for order in itertools.permutations(sizes)
        )
        assert working_set(graph, op_id) <= best
        if not pairs:
            assert working_set(graph, op_id) == best


def ends(graph: Graph, tensor: int) -> bool:
    """Whether an instance can die before the program ends: not returned, or returned and recomputed."""
    makers = [op for op in graph.ops if tensor in op.outputs]
    return tensor not in graph.returned or any(op.recomputable for op in makers)


def merged_sizes(graph: Graph, op: Op, tensors: list[int], pairs: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    found = []
    for chosen in itertools.chain.from_iterable(itertools.combinations(pairs, k) for k in range(len(pairs) + 1)):
        if len({s for s, _ in chosen}) == len({t for _, t in chosen}) == len(chosen):
            merged = [max(graph.tensors[s].nbytes, graph.tensors[t].nbytes) for s, t in chosen]
            single = [graph.tensors[t].nbytes for t in tensors if not any(t in pair for pair in chosen)]
            found.append((*merged, *single, *([op.workspace] if op.workspace else [])))
    return found
