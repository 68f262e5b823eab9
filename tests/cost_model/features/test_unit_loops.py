import numpy as np
import pytest

pytest.importorskip("tvm", reason="graphs are made of TVM's modules")

import tvm

from tests.cost_model.programs_by_hand import matmul, sampled, scheduled_matmul
from tvm_memopt.cost_model.features.columns import EDGE_COLUMNS, LOOP
from tvm_memopt.cost_model.features.extract import extract
from tvm_memopt.cost_model.features.unit_loops import without_unit_loops


def with_a_unit_loop():
    sch = tvm.s_tir.Schedule(matmul())
    _, j, _ = sch.get_loops(sch.get_sblock("c"))
    sch.split(j, [1, 32])
    return sch.mod


def test_a_loop_that_runs_once_goes_and_its_neighbours_meet():
    plain, split = (without_unit_loops(extract([mod])) for mod in (matmul(), with_a_unit_loop()))
    assert split.nodes["loop"][:, LOOP.index("extent")].tolist() == [16, 32, 8]
    for key in EDGE_COLUMNS:
        assert split.edges[key].tolist() == plain.edges[key].tolist()


def test_graphs_stay_whole_and_apart():
    graphs = extract([*sampled((0,), 2), scheduled_matmul()])
    thin = without_unit_loops(graphs)
    assert (thin.nodes["loop"][:, LOOP.index("extent")] > 1).all()
    for key in EDGE_COLUMNS:
        owners = [thin.graph_of(name)[ends] for name, ends in zip((key[0], key[2]), thin.edges[key], strict=True)]
        assert np.array_equal(*owners)
        assert np.searchsorted(owners[0], np.arange(len(thin) + 1)).tolist() == thin.edge_starts[key].tolist()
        assert len(thin.edge_values[key]) == thin.edges[key].shape[1]
    children = thin.edges["loop", "nests", "loop"][1]
    assert len(set(children.tolist())) == len(children)


def test_a_batch_without_graphs_stays_one():
    assert len(without_unit_loops(extract([]))) == 0
