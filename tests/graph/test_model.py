from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.graph.strategies import graphs
from tvm_memopt.errors import GraphError
from tvm_memopt.graph import Graph, Op, Tensor

SOURCE, MIDDLE, RESULT = Tensor("x", 8, "input", arena=False), Tensor("h", 16), Tensor("y", 4)
FIRST, SECOND = Op("first", (0,), (1,), cost=1.0), Op("second", (1,), (2,), cost=2.0)
VALID: dict[str, Any] = {
    "name": "net",
    "tensors": (SOURCE, MIDDLE, RESULT),
    "ops": (FIRST, SECOND),
    "outputs": (2,),
    "alignment": 4,
}

BROKEN = {
    "zero alignment": ({"alignment": 0}, "alignment: 0 is not"),
    "negative size": ({"tensors": (SOURCE, replace(MIDDLE, nbytes=-1), RESULT)}, r"tensors\[1\] \(h\): nbytes is -1"),
    "huge size": ({"tensors": (SOURCE, replace(MIDDLE, nbytes=2**63), RESULT)}, r"tensors\[1\] \(h\): nbytes"),
    "unknown kind": ({"tensors": (SOURCE, replace(MIDDLE, kind="scratch"), RESULT)}, r"\(h\): kind is 'scratch'"),
    "view of nothing": ({"tensors": (SOURCE, replace(MIDDLE, alias_of=7), RESULT)}, r"\(h\): alias_of is 7"),
    "view of itself": ({"tensors": (SOURCE, replace(MIDDLE, alias_of=1), RESULT)}, r"\(h\): its alias_of chain"),
    "views in a ring": (
        {"tensors": (SOURCE, replace(MIDDLE, alias_of=2), replace(RESULT, alias_of=1))},
        r"tensors\[1\] \(h\): its alias_of chain is a cycle",
    ),
    "input that is a view of an activation": (
        {"tensors": (replace(SOURCE, alias_of=1), MIDDLE, RESULT)},
        r"tensors\[0\] \(x\): is a graph input but a view of the activation 1",
    ),
    "returned tensor unknown": ({"outputs": (3,)}, "outputs: 3 is not a tensor id below 3"),
    "input unknown": ({"ops": (replace(FIRST, inputs=(9,)), SECOND)}, r"ops\[0\] \(first\): inputs names tensor 9"),
    "output unknown": (
        {"ops": (FIRST, replace(SECOND, outputs=(-1,)))},
        r"ops\[1\] \(second\): outputs names tensor -1",
    ),
    "negative cost": ({"ops": (FIRST, replace(SECOND, cost=-0.5))}, r"ops\[1\] \(second\): cost is -0.5"),
    "cost not a number": ({"ops": (FIRST, replace(SECOND, cost=float("nan")))}, r"\(second\): cost is nan"),
    "infinite cost": ({"ops": (FIRST, replace(SECOND, cost=float("inf")))}, r"\(second\): cost is inf"),
    "negative workspace": ({"ops": (replace(FIRST, workspace=-1), SECOND)}, r"\(first\): workspace is -1"),
    "in-place pair of strangers": (
        {"ops": (FIRST, replace(SECOND, inplace=((0, 2),)))},
        r"\(second\): inplace pair \[0, 2\]",
    ),
    "produced input": (
        {"ops": (replace(FIRST, inputs=(), outputs=(0, 1)), SECOND)},
        r"ops\[0\] \(first\): produces tensor 0 of kind 'input'",
    ),
    "two producers": (
        {"ops": (FIRST, replace(SECOND, outputs=(2, 1)))},
        r"tensors\[1\] \(h\): produced twice, by ops 0 and 1",
    ),
    "no producer": ({"ops": (FIRST, replace(SECOND, outputs=()))}, r"tensors\[2\] \(y\): is an activation that no op"),
    "order reversed": ({"ops": (SECOND, FIRST)}, r"ops\[0\] \(second\): reads what ops\[1\] \(first\) produces later"),
    "cycle": (
        {"ops": (replace(FIRST, inputs=(2,)), SECOND)},
        r"ops\[0\] \(first\): reads what ops\[1\] \(second\) produces later: .* or the graph has a cycle",
    ),
    "own output": ({"ops": (replace(FIRST, inputs=(1,)), SECOND)}, r"ops\[0\] \(first\): reads its own output"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_graph_is_refused_with_its_place(fault: str) -> None:
    changes, message = BROKEN[fault]
    with pytest.raises(GraphError, match=r"^graph 'net': .*" + message) as caught:
        Graph(**{**VALID, **changes})
    assert "\n" not in str(caught.value)


def test_a_valid_graph_knows_its_edges() -> None:
    graph = Graph(**VALID)
    assert graph.producer == (-1, 0, 1)
    assert graph.planned == (False, True, True)
    assert graph.reads == ((), (1,))
    assert graph.writes == ((1,), (2,))
    assert graph.predecessors == ((), (0,))
    assert graph.successors == ((1,), ())
    assert graph.returned == {2}
    assert graph.base_cost == 3.0


def test_a_read_of_a_view_of_a_view_is_a_read_of_its_root() -> None:
    tensors = (Tensor("a", 8), Tensor("v", 8, alias_of=0), Tensor("w", 8, alias_of=1), Tensor("y", 1))
    ops = (Op("a", (), (0,)), Op("v", (0,), (1,)), Op("w", (1,), (2,)), Op("y", (2, 0), (3,)))
    graph = Graph("views", tensors, ops, (2,))
    assert graph.root == (0, 0, 0, 3)
    assert graph.reads[3] == (0,)
    assert graph.readers[0] == (1, 2, 3)
    assert graph.returned == {0}
    assert graph.predecessors[3] == (0, 1, 2)


def test_a_view_may_stand_before_the_tensor_that_it_views() -> None:
    tensors = (Tensor("v", 8, alias_of=1), Tensor("a", 8))
    graph = Graph("late", tensors, (Op("a", (), (1,)), Op("v", (1,), (0,))))
    assert graph.root == (1, 1)


@given(graphs(20))
def test_edges_agree_from_both_ends(graph: Graph) -> None:
    forward = {(op, after) for op, successors in enumerate(graph.successors) for after in successors}
    backward = {(before, op) for op, predecessors in enumerate(graph.predecessors) for before in predecessors}
    assert forward == backward
    assert all(before < op for before, op in backward)
    assert {(op, t) for op, ts in enumerate(graph.reads) for t in ts} == {
        (op, t) for t, ops in enumerate(graph.readers) for op in ops
    }
