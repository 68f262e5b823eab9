"""ONNX models with sizes that are known at run time only: all else is planned, and every bit is the same."""

from __future__ import annotations

import numpy as np
import pytest
import tvm

from tests.cases.make_cases import write_case

pytest.importorskip("onnx")

from tvm_memopt import import_model
from tvm_memopt.graph import find_violations
from tvm_memopt.passes.build import build_planned, build_unmodified
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import measure_memory, outputs_equal, run_module

SHAPES = {
    "nms": [(1, 50, 4), (1, 2, 50)],
    "detector": [(1, 8, 16, 16), (1, 256, 4)],
    "nonzero": [(1, 8, 16, 16)],
    "unique": [(16, 64)],
}


@pytest.fixture(scope="module", params=SHAPES)
def built(request, tmp_path_factory):
    mod = import_model(write_case(request.param, tmp_path_factory.mktemp("case")))
    target = tvm.target.Target("llvm")
    return request.param, build_planned(mod, target, PlanOptions(time_limit=2)), build_unmodified(mod, target)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_outputs_are_equal_and_the_arena_is_the_plans(built, share):
    """Of the inputs' elements that share is not zero: so the sizes at run time differ."""
    name, build, stock = built
    found, generator = build.planned.functions["main"], np.random.default_rng(0)
    inputs = [(generator.random(shape) * (generator.random(shape) < share)).astype("float32") for shape in SHAPES[name]]
    assert outputs_equal(run_module(build.executable, inputs), run_module(stock, inputs))
    storages = measure_memory(build.executable, inputs).storages
    assert storages[found.arena_position].nbytes == found.plan.arena_nbytes > 0
    assert not find_violations(found.graph, found.plan)


def test_every_tensor_with_a_bound_is_in_the_arena(built):
    found = built[1].planned.functions["main"]
    graph, variables = found.graph, found.extraction.variable_of
    returned = {graph.root[t] for t in graph.outputs}
    buffers = [t for t in range(len(graph.tensors)) if variables.get(t) in found.extraction.program.buffers]
    assert all(graph.planned[t] for t in buffers if graph.tensors[t].nbytes and t not in returned)
