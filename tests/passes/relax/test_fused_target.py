"""Targets that multiply and add in one rounding: which pairs are fused must not depend on the plan."""

from __future__ import annotations

import pytest
from tvm import relax

from tests.passes.relax import networks
from tests.passes.relax.running import assert_planned_right, random_arrays
from tests.passes.tir.running import fused_target
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.compile import lower, plan_lowered
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import outputs_equal, run_module


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_networks_keep_their_outputs(name):
    assert_planned_right(networks.NETWORKS[name](), modes=("bytecode",), target=fused_target())


def test_random_networks_keep_their_outputs():
    target, side = fused_target(), 8
    module = networks.together([networks.random_network(seed, side) for seed in range(500, 508)])
    inputs = random_arrays([(side, side)] * 2)
    lowered, _ = lower(module, target)
    with target:
        planned = plan_lowered(lowered, target, PlanOptions(time_limit=0.5))
    found, expected = relax.build(planned.mod, target), build_unmodified(module, target)
    for name in planned.functions:
        assert outputs_equal(*(run_module(m, inputs, function=name) for m in (found, expected))), name
