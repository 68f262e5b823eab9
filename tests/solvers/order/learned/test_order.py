import subprocess
import sys

import pytest
from hypothesis import given, settings

from tests.solvers.order.learned.networks import random_checkpoint
from tests.solvers.order.native_tools import assert_valid, rich_graphs
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, given_order, layered_graph, peak_live
from tvm_memopt.solvers.order.learned import learned_order
from tvm_memopt.solvers.order.learned import order as module

MODES = ("greedy", "sample", "beam")


@settings(max_examples=25)
@given(rich_graphs(10))
def test_orders_are_valid_and_no_worse_than_the_given_one(graph):
    for mode in MODES:
        found = learned_order(graph, mode, samples=4, width=2, checkpoint=random_checkpoint())
        assert_valid(graph, found.order)
        assert found.peak == peak_live(graph, found.order) <= peak_live(graph, given_order(graph))


def test_samples_are_no_worse_than_greedy_and_the_same_for_the_same_seed():
    graph, checkpoint = layered_graph(80, seed=4), random_checkpoint()
    greedy = learned_order(graph, checkpoint=checkpoint)
    first, second = (learned_order(graph, "sample", samples=8, seed=3, checkpoint=checkpoint) for _ in range(2))
    assert first == second
    assert first.peak <= greedy.peak


def test_a_graph_without_ops_keeps_its_order():
    assert learned_order(Graph("empty", (), ())).method == "given"


def test_what_is_too_large_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(module, "MAX_OPS", 10)
    with pytest.raises(MemoptError, match="too large for a learned order: 11 ops, expected up to 10"):
        learned_order(layered_graph(11, seed=0), checkpoint=random_checkpoint())


def test_an_order_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from tests.solvers.order.learned.networks import random_checkpoint\n"
        "from tvm_memopt.graph import layered_graph\n"
        "from tvm_memopt.solvers.order.learned import learned_order\n"
        "print(len(learned_order(layered_graph(30, seed=0), checkpoint=random_checkpoint()).order))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[-1:] == ["30"], done.stderr
