"""An ONNX If: both branches are right, and what they need lies in the arena."""

from __future__ import annotations

import numpy as np
import pytest
import tvm

from tests.cases.make_cases import CASES, write_case

pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator

from tvm_memopt import import_model
from tvm_memopt.passes.build import build_planned
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import measure_memory, run_module


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    mod = import_model(write_case("branch", tmp_path_factory.mktemp("case")))
    return build_planned(mod, tvm.target.Target("llvm"), PlanOptions(time_limit=2))


@pytest.mark.parametrize("condition", [True, False])
def test_both_branches_are_right_and_the_arena_is_all_that_is_allocated(build, condition):
    image = np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype("float32")
    inputs = {"c": np.array(condition), "x": image}
    (expected,) = ReferenceEvaluator(CASES["branch"]()).run(None, inputs)
    (found,) = run_module(build.executable, list(inputs.values()))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    measured = measure_memory(build.executable, list(inputs.values()))
    assert measured.storage_nbytes == build.planned.functions["main"].plan.arena_nbytes > 0
    assert measured.workspace_requested_nbytes == 0
