"""The guards reject single columns that exceed their limits, and nothing else."""

import numpy as np
import pytest

pytest.importorskip("tvm")
import tvm
from tvm import te, tirx

from tvm_memopt.cost_model.features.columns import STATEMENT
from tvm_memopt.cost_model.features.extract import Graphs, extract
from tvm_memopt.cost_model.tuner.predicted.guards import sound


def _graphs() -> Graphs:
    """Two programs: a sigmoid, and a sum of two vectors."""
    x, y = (te.placeholder((64,), name=name) for name in "xy")
    functions = [
        te.create_prim_func([x, te.compute((64,), lambda i: tirx.sigmoid(x[i]))]),
        te.create_prim_func([x, y, te.compute((64,), lambda i: x[i] + y[i])]),
    ]
    return extract([tvm.IRModule({"main": function}) for function in functions])


def _changed(column: str, value: float) -> np.ndarray:
    graphs = _graphs()
    graphs.nodes["statement"] = graphs.nodes["statement"].copy()
    graphs.nodes["statement"][:, STATEMENT.index(column)] = value
    return sound(graphs)


def test_plain_loops_pass() -> None:
    assert sound(_graphs()).tolist() == [True, True]


def test_only_the_unrolled_chain_of_exponentials_is_rejected() -> None:
    assert _changed("unrolled_extent", 512).tolist() == [False, True]


@pytest.mark.parametrize(
    ("column", "value"),
    [("unrolled_extent", 1e5), ("recompute", 9.0), ("vector_extent", 256.0), ("nest1_nbytes", 2.0**22)],
)
def test_each_limit_rejects_what_exceeds_it(column: str, value: float) -> None:
    assert not _changed(column, value).any()


def test_the_limit_on_automatic_unrolling_is_that_of_the_loops() -> None:
    assert _changed("auto_unroll", 512).tolist() == [True, True]  # 64 iterations are all there is
