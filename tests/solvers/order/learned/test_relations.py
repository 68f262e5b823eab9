from itertools import permutations

import numpy as np
from hypothesis import given, settings

from tests.solvers.order.native_tools import rich_graphs
from tvm_memopt.graph import layered_graph, lifetimes
from tvm_memopt.solvers.native.order.problem import packed_problem
from tvm_memopt.solvers.order.learned.neighbourhoods import neighbourhoods
from tvm_memopt.solvers.order.learned.relations import plain_relations, relations_of


def _reachable(graph, without=None):
    """Pairs (ancestor, op), by walking edges, ``without`` one of them."""
    pairs = set()
    for op in range(len(graph.ops)):
        stack = [(p, op) for p in graph.predecessors[op]]
        while stack:
            source, target = stack.pop()
            if (source, target) == without or (source, op) in pairs:
                continue
            pairs.add((source, op))
            stack += [(p, source) for p in graph.predecessors[source]]
    return pairs


@given(rich_graphs(12))
def test_native_relations_equal_the_plain_ones(graph):
    native = relations_of(graph, packed_problem(graph))
    ancestors, redundant, forced = plain_relations(graph)
    assert (native.ancestors == ancestors).all()
    assert (native.redundant == redundant).all()
    assert (native.forced == forced).all()


@given(rich_graphs(10))
def test_closure_and_reduction_are_those_of_the_definition(graph):
    found = relations_of(graph, None)
    closure = {(int(u), int(v)) for v, u in np.argwhere(found.rows(0, found.ops))}
    assert closure == _reachable(graph)
    for source, target, redundant in zip(found.sources, found.targets, found.redundant, strict=True):
        edge = int(source), int(target)
        assert redundant == (edge in _reachable(graph, without=edge))


@settings(max_examples=30)
@given(rich_graphs(6))
def test_forced_bytes_are_held_in_every_order(graph):
    forced = relations_of(graph, None).forced
    for order in permutations(range(len(graph.ops))):
        step = {op: index for index, op in enumerate(order)}
        if any(step[p] > step[op] for op, before in enumerate(graph.predecessors) for p in before):
            continue
        held = [0] * len(order)
        for buffer in lifetimes(graph, order).buffers:  # in-place sharing left out
            for at in range(buffer.first, buffer.last + 1):
                held[at] += buffer.nbytes
        assert all(forced[op] <= held[step[op]] for op in order)


def test_the_seven_relations_partition_all_pairs():
    around = neighbourhoods(relations_of(layered_graph(60, seed=3), None))
    pairs = sum(counts.sum() for counts in around.counts.values())
    for name, edges in around.lists.items():
        pairs += 0 if name.startswith("edge") else len(edges.to)
    assert pairs == 60 * 59


def test_sums_over_ancestors_and_descendants_need_no_square_matrix(monkeypatch):
    from tvm_memopt.solvers.order.learned import neighbourhoods as module
    from tvm_memopt.solvers.order.learned import relations

    found = relations_of(layered_graph(70, seed=1), None)
    values = np.random.default_rng(0).normal(size=(70, 3)).astype(np.float32)
    whole = neighbourhoods(found).closure_sums(values, values)
    monkeypatch.setattr(relations, "_SLICE", 16)
    monkeypatch.setattr(module, "_KEPT_OPS", 0)
    assert max(len(rows) for _, _, rows in found.slices()) == 16
    for one, other in zip(whole, neighbourhoods(found).closure_sums(values, values), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
