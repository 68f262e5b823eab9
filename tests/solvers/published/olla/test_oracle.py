"""The brute force that the joint solvers are judged by, against plainer brute force."""

from itertools import permutations

from hypothesis import assume, given, settings

from tests.solvers.brute_force import least_arena, least_peak
from tests.solvers.joint_brute_force import least_joint_arena
from tests.solvers.packing import Block, Packing, least_packing
from tests.solvers.strategies import ALIGNMENTS, buffer_sets, chain, diamond, graphs
from tvm_memopt.errors import PlanError
from tvm_memopt.graph import Graph, given_order, lifetimes


@settings(max_examples=150, deadline=None)
@given(buffer_sets(max_buffers=5), ALIGNMENTS)
def test_packing_finds_the_least_arena_of_all_placements(lives, alignment):
    blocks = [Block(b.nbytes, -(-b.nbytes // alignment) * alignment) for b in lives.buffers]
    steps = [
        frozenset(i for i, b in enumerate(lives.buffers) if b.nbytes and b.first <= s <= b.last)
        for s in range(lives.steps)
    ]
    some = any(steps)
    packed = least_packing(Packing(blocks, steps, lives.inplace), sum(b.padded for b in blocks) + 1) if some else 0
    assert packed == least_arena(lives, alignment)


@settings(max_examples=30, deadline=None)
@given(graphs(max_ops=4, max_nbytes=50))
def test_the_least_joint_arena_is_the_least_over_each_order_in_turn(graph):
    assume(len(lifetimes(graph, given_order(graph)).buffers) <= 6)  # the plainer one is slow
    found = [least_arena(lifetimes(graph, order), graph.alignment) for order in orders(graph)]
    assert least_joint_arena(graph) == min(found)


@settings(max_examples=50, deadline=None)
@given(graphs(max_ops=7))
def test_no_arena_is_below_the_least_peak(graph):
    assert least_joint_arena(graph) >= least_peak(graph)


def test_known_arenas():
    assert least_joint_arena(diamond()) == 120
    assert least_joint_arena(chain(5)) == 128


def orders(graph: Graph) -> list[tuple[int, ...]]:
    return [order for order in permutations(range(len(graph.ops))) if is_order(graph, order)]


def is_order(graph: Graph, order: tuple[int, ...]) -> bool:
    try:
        lifetimes(graph, order)
    except PlanError:
        return False
    step = {op: index for index, op in enumerate(order)}
    return all(step[p] < step[op] for op, before in enumerate(graph.predecessors) for p in before)
